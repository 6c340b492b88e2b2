//! The table of shared broker connections: each row beside dedicated ones, with the ratio that is asked for.

use std::io;
use std::io::Write;

use super::cpu_each;
use super::median;
use super::per_second;
use super::percentile;
use crate::load::Sample;

/// The head of the table that the others fill.
pub(crate) fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n| shared broker connections | dedicated | shared | shared / dedicated | asked for |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: |")
}

/// CPU of the gateway for each message.
pub(crate) fn cpu(out: &mut impl Write, name: &str, lanes: &[Vec<Sample>; 2]) -> io::Result<()> {
    let [dedicated, shared] = lanes.each_ref().map(|samples| cpu_each(samples));
    writeln!(
        out,
        "| {name}, CPU each | {dedicated:.0} ns | {shared:.0} ns | {:.2} | at most 2 |",
        shared / dedicated
    )
}

/// Something per second, here more is better.
pub(crate) fn rate(out: &mut impl Write, name: &str, lanes: &[Vec<Sample>; 2]) -> io::Result<()> {
    let rate = |sample: &Sample| sample.messages as f64 / sample.elapsed.as_secs_f64();
    let [dedicated, shared] = lanes.each_ref().map(|samples| median(samples, rate));
    writeln!(
        out,
        "| {name} | {} | {} | {:.2} | at least 2 |",
        per_second(dedicated),
        per_second(shared),
        shared / dedicated
    )
}

/// Bytes for each session: dedicated, shared.
pub(crate) fn memory(
    out: &mut impl Write,
    name: &str,
    bytes: [u64; 2],
    asked: &str,
) -> io::Result<()> {
    let [dedicated, shared] = bytes.map(|bytes| bytes as f64 / 1e3);
    writeln!(
        out,
        "| {name} | {dedicated:.1} kB | {shared:.1} kB | {:.2} | {asked} |",
        shared / dedicated
    )
}

/// Round trips on a shared connection, without and beside a stalled session on it.
pub(crate) fn neighbours(
    out: &mut impl Write,
    alone: &[Sample],
    beside: &[Sample],
) -> io::Result<()> {
    let at = |samples: &[Sample], percent| {
        median(samples, |sample| {
            percentile(&sample.latencies, percent).as_secs_f64() * 1e6
        })
    };
    writeln!(
        out,
        "\n| shared: round trip 100 B, p50 / p99 µs | alone | beside a stalled session | beside / alone, p50 | p99 |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: |")?;
    let (half, most) = (at(alone, 50), at(alone, 99));
    let (half_beside, most_beside) = (at(beside, 50), at(beside, 99));
    writeln!(
        out,
        "| RabbitMQ | {half:.0} / {most:.0} | {half_beside:.0} / {most_beside:.0} | {:.2} | {:.2} |",
        half_beside / half,
        most_beside / most
    )
}
