//! `make bench`: the relay against direct TCP and against a floor, to a sink and, where
//! `SMEUSE_BENCH_AMQP_URL` names one, to a RabbitMQ. `docs/benchmarks.md` says what is measured and
//! how to read it.
//!
//! Nothing passes or fails by its speed. A message that is lost, doubled or damaged makes the run
//! fail.

mod amqp;
mod client;
mod extensions;
mod floor;
mod lane;
mod load;
mod memory;
mod pages;
mod process;
mod report;
mod shared;
mod sink;
mod websocket;

use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use lane::Lane;
use load::Sample;
use load::Workload;
use process::Process;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["sink"] => sink::run(),
        ["origin"] => pages::origin(),
        ["floor", upstream] => lane::resolve(upstream).and_then(floor::run),
        // `cargo bench` says so; a test run of all targets does not, and shall not take minutes.
        [.., "--bench"] => bench(&words[..words.len() - 1]),
        _ => writeln!(
            io::stdout(),
            "nothing is measured without `cargo bench --bench relay`"
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is named like one of `words`, or all.
fn bench(words: &[&str]) -> io::Result<()> {
    let plan = Plan::chosen();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let files = process::open_files(2 * plan.sessions + SPARE_FILES)?;
    process::watch(plan.limit);
    let out = &mut io::stdout();
    report::machine(out)?;
    let sink = Process::sink()?;
    let lanes = lane::to_sink(sink.address())?;
    table("sink", &lanes, &plan, &asked, out)?;
    let url = std::env::var("SMEUSE_BENCH_AMQP_URL").ok();
    let url = url.filter(|url| !url.is_empty());
    if let Some(url) = &url {
        table("RabbitMQ", &lane::to_real(url)?, &plan, &asked, out)?;
    }
    let idle = plan.sessions.min(files.saturating_sub(SPARE_FILES) / 2);
    shared::to_sink(sink.address(), &plan, idle, &asked, out)?;
    if let Some(url) = &url {
        shared::to_real(url, &plan, &asked, out)?;
    }
    pages::run(&plan, &asked, out)?;
    let [_, floor, smeuse] = &lanes;
    let (Some(floor_process), Some(smeuse_process)) = (&floor.process, &smeuse.process) else {
        return Ok(());
    };
    extensions::run(smeuse, &plan, &asked, out)?;
    if asked("idle") {
        let floor = memory::idle(floor, floor_process, idle)?;
        let smeuse = memory::idle(smeuse, smeuse_process, idle)?;
        report::idle(out, &floor, &smeuse)?;
        extensions::idle(sink.address(), idle, out)?;
    }
    if asked("stall") {
        report::stall_head(out)?;
        let megabytes = plan.offered >> 20;
        let client = memory::stalled_client(smeuse, smeuse_process, plan.offered, plan.stall)?;
        report::stall(
            out,
            &format!("client stalls, {megabytes} MiB wait for it"),
            &client,
        )?;
        let broker = memory::stalled_broker(smeuse, smeuse_process, plan.offered, plan.stall)?;
        report::stall(
            out,
            &format!("broker stalls, client publishes {megabytes} MiB"),
            &broker,
        )?;
    }
    Ok(())
}

/// How long everything may take, and how much of it there is.
struct Plan {
    rounds: usize,
    each: Duration,
    sessions: usize,
    offered: u64,
    stall: Duration,
    limit: Duration,
}

impl Plan {
    /// The full run, or with `SMEUSE_BENCH_QUICK=1` a few seconds that show that all of it works.
    fn chosen() -> Self {
        if std::env::var("SMEUSE_BENCH_QUICK").is_ok_and(|quick| quick == "1") {
            return Self {
                rounds: 2,
                each: Duration::from_millis(50),
                sessions: 200,
                offered: 64 << 20,
                stall: Duration::from_millis(300),
                limit: Duration::from_secs(60),
            };
        }
        Self {
            rounds: 7,
            each: Duration::from_millis(500),
            sessions: 2000,
            offered: 1 << 30,
            stall: Duration::from_secs(3),
            limit: Duration::from_secs(420),
        }
    }
}

/// Every workload against one broker.
fn table(
    broker: &str,
    lanes: &[Lane; 3],
    plan: &Plan,
    asked: &impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut headed = false;
    for (workload, what) in RATES {
        let name = format!("{broker}: {what}");
        if asked(&name) {
            if !std::mem::replace(&mut headed, true) {
                report::rates_head(out)?;
            }
            report::rates(out, &name, &rounds(*workload, lanes, plan)?)?;
        }
    }
    let name = format!("{broker}: round trip 100 B");
    if asked(&name) {
        report::round_trips_head(out)?;
        report::round_trips(out, &name, &rounds(Workload::RoundTrip(100), lanes, plan)?)?;
    }
    Ok(())
}

/// The lanes take turns, so that what else the machine does falls on all of them, and each begins
/// as often.
fn rounds(workload: Workload, lanes: &[Lane; 3], plan: &Plan) -> io::Result<[Vec<Sample>; 3]> {
    let mut samples = [const { Vec::new() }; 3];
    for round in 0..plan.rounds {
        for turn in 0..3 {
            let lane = (round + turn) % 3;
            samples[lane].push(workload.run(&lanes[lane], plan.each)?);
        }
    }
    Ok(samples)
}

const RATES: &[(Workload, &str)] = &[
    (Workload::Publish(100), "publish 100 B"),
    (Workload::Publish(16 * 1024), "publish 16 KiB"),
    (Workload::Deliver(100), "deliver 100 B"),
    (Workload::Deliver(16 * 1024), "deliver 16 KiB"),
    (Workload::Sessions, "sessions opened and closed"),
];

/// Files that a process has open beside the sockets of idle sessions, with room to spare.
const SPARE_FILES: usize = 100;
