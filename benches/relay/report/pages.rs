//! Files and pages as Markdown.

use std::io;
use std::io::Write;

use super::cpu_each;
use super::median;
use super::per_second;
use crate::load::Sample;

/// The head of the table that [`row`] fills.
pub(crate) fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\n| web applications | origin alone | nginx | smeuse | smeuse / nginx | CPU µs each: smeuse | nginx | smeuse / nginx |"
    )?;
    writeln!(
        out,
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
}

/// One row: answers per second, and CPU each. The lanes are the origin, nginx, smeuse.
pub(crate) fn row(out: &mut impl Write, name: &str, lanes: &[Vec<Sample>; 3]) -> io::Result<()> {
    let rate = |samples: &Vec<Sample>| {
        median(samples, |sample| {
            sample.messages as f64 / sample.elapsed.as_secs_f64()
        })
    };
    let [origin, nginx, smeuse] = lanes.each_ref().map(rate);
    let [nginx_cpu, smeuse_cpu] = [1, 2].map(|lane| cpu_each(&lanes[lane]) / 1e3);
    writeln!(
        out,
        "| {name} | {} | {} | {} | {:.2} | {smeuse_cpu:.0} | {nginx_cpu:.0} | {:.2} |",
        per_second(origin),
        per_second(nginx),
        per_second(smeuse),
        smeuse / nginx,
        smeuse_cpu / nginx_cpu,
    )
}
