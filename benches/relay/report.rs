//! The figures as Markdown: medians of the rounds, side by side.

pub(crate) mod pages;
pub(crate) mod shared;

use std::fs;
use std::io;
use std::io::Write;
use std::time::Duration;

use crate::load::Sample;
use crate::memory::Idle;
use crate::memory::Stall;

/// What ran where: the first line of a report that is to be compared with another.
pub(crate) fn machine(out: &mut impl Write) -> io::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown CPU", |(_, model)| model.trim());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    writeln!(
        out,
        "{cores} cores, {model}, Linux {}, load average at the start {load}",
        kernel.trim()
    )
}

/// The head of the table that [`rates`] fills.
pub(crate) fn rates_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n| workload | direct | floor | smeuse | smeuse / floor | CPU ns each: smeuse | floor |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
}

/// One row: messages (or sessions) per second, and CPU each. The lanes are direct, floor, smeuse.
pub(crate) fn rates(out: &mut impl Write, name: &str, lanes: &[Vec<Sample>; 3]) -> io::Result<()> {
    let rate = |samples: &Vec<Sample>| {
        median(samples, |sample| {
            sample.messages as f64 / sample.elapsed.as_secs_f64()
        })
    };
    let [direct, floor, smeuse] = lanes.each_ref().map(rate);
    writeln!(
        out,
        "| {name} | {} | {} | {} | {:.2} | {:.0} | {:.0} |",
        per_second(direct),
        per_second(floor),
        per_second(smeuse),
        smeuse / floor,
        cpu_each(&lanes[2]),
        cpu_each(&lanes[1]),
    )
}

/// The head of the table that [`round_trips`] fills.
pub(crate) fn round_trips_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n| round trip, p50 / p99 µs | direct | floor | smeuse | p50: smeuse / floor | CPU µs each: smeuse | floor |")?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
}

/// One row of latencies.
pub(crate) fn round_trips(
    out: &mut impl Write,
    name: &str,
    lanes: &[Vec<Sample>; 3],
) -> io::Result<()> {
    let [direct, floor, smeuse] = lanes.each_ref().map(|samples| {
        let at = |percent| {
            median(samples, |sample| {
                percentile(&sample.latencies, percent).as_secs_f64() * 1e6
            })
        };
        (at(50), at(99))
    });
    let text = |(half, most): (f64, f64)| format!("{half:.0} / {most:.0}");
    writeln!(
        out,
        "| {name} | {} | {} | {} | {:.2} | {:.1} | {:.1} |",
        text(direct),
        text(floor),
        text(smeuse),
        smeuse.0 / floor.0,
        cpu_each(&lanes[2]) / 1e3,
        cpu_each(&lanes[1]) / 1e3,
    )
}

/// The head of the table that [`extensions`] fills.
pub(crate) fn extensions_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n| with extensions, each beside none | none | with | rate: with / none | CPU ns each: none | with | with / none |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
}

/// One row: the same workload without and with extensions. The ratios are medians of each round's own, because what else
/// the machine does changes from round to round by more than is looked for.
pub(crate) fn extensions(
    out: &mut impl Write,
    name: &str,
    none: &[Sample],
    with: &[Sample],
) -> io::Result<()> {
    let rate = |sample: &Sample| sample.messages as f64 / sample.elapsed.as_secs_f64();
    let cpu = |sample: &Sample| sample.cpu.as_nanos() as f64 / sample.messages.max(1) as f64;
    let ratio = |figure: &dyn Fn(&Sample) -> f64| {
        let rounds = none.iter().zip(with);
        middle(
            rounds
                .map(|(none, with)| figure(with) / figure(none))
                .collect(),
        )
    };
    writeln!(
        out,
        "| {name} | {} | {} | {:.2} | {:.0} | {:.0} | {:.2} |",
        per_second(median(none, rate)),
        per_second(median(with, rate)),
        ratio(&rate),
        cpu_each(none),
        cpu_each(with),
        ratio(&cpu),
    )
}

/// What the extended handshake adds to the opening one, beside a round trip over the same way.
pub(crate) fn handshakes(
    out: &mut impl Write,
    opening: &[Sample],
    both: &[Sample],
    round_trip: &[Sample],
) -> io::Result<()> {
    let half = |samples: &[Sample]| {
        median(samples, |sample| {
            percentile(&sample.latencies, 50).as_secs_f64() * 1e6
        })
    };
    let (opening, both, round_trip) = (half(opening), half(both), half(round_trip));
    writeln!(
        out,
        "\n| handshakes, p50 µs | opening | opening and extended | difference | round trip of a Ping | difference / round trip |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: | ---: |")?;
    let difference = both - opening;
    writeln!(
        out,
        "| TCP to data | {opening:.0} | {both:.0} | {difference:.0} | {round_trip:.0} | {:.2} |",
        difference / round_trip
    )
}

/// Memory of idle sessions.
pub(crate) fn idle(out: &mut impl Write, floor: &Idle, smeuse: &Idle) -> io::Result<()> {
    writeln!(
        out,
        "\n| memory per idle session, both sockets | floor | smeuse |\n| --- | ---: | ---: |"
    )?;
    let kilobytes = |bytes: u64| format!("{:.1} kB", bytes as f64 / 1e3);
    let sessions = smeuse.sessions;
    let (floor_opened, smeuse_opened) = (kilobytes(floor.opened), kilobytes(smeuse.opened));
    writeln!(
        out,
        "| {sessions} sessions, as opened | {floor_opened} | {smeuse_opened} |"
    )?;
    let (floor_used, smeuse_used) = (kilobytes(floor.used), kilobytes(smeuse.used));
    writeln!(
        out,
        "| {sessions} sessions, after 180 kB published by each | {floor_used} | {smeuse_used} |"
    )
}

/// A row below it: sessions with extensions.
pub(crate) fn idle_with(out: &mut impl Write, extensions: &str, idle: &Idle) -> io::Result<()> {
    let opened = idle.opened as f64 / 1e3;
    let sessions = idle.sessions;
    writeln!(
        out,
        "| {sessions} sessions with {extensions} | | {opened:.1} kB |"
    )
}

/// The head of the table that [`stall`] fills.
pub(crate) fn stall_head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n| resident memory of smeuse, MB | before | while stalled | while draining | after |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: | ---: |")
}

/// Memory around one stall.
pub(crate) fn stall(out: &mut impl Write, name: &str, stall: &Stall) -> io::Result<()> {
    let [before, during, draining, after] =
        [stall.before, stall.during, stall.draining, stall.after]
            .map(|bytes| format!("{:.2}", bytes as f64 / 1e6));
    writeln!(
        out,
        "| {name} | {before} | {during} | {draining} | {after} |"
    )
}

fn cpu_each(samples: &[Sample]) -> f64 {
    median(samples, |sample| {
        sample.cpu.as_nanos() as f64 / sample.messages.max(1) as f64
    })
}

fn median(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(figure).collect())
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get(sorted.len() * percent / 100)
        .copied()
        .unwrap_or_default()
}

fn per_second(rate: f64) -> String {
    match rate {
        1e6.. => format!("{:.2} M/s", rate / 1e6),
        1e4.. => format!("{:.1} k/s", rate / 1e3),
        _ => format!("{rate:.0}/s"),
    }
}
