//! Sessions that share broker connections beside sessions with a connection each: through the same release gateway with
//! another setting, in turn.

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::lane;
use crate::lane::Lane;
use crate::load;
use crate::load::Sample;
use crate::load::Workload;
use crate::memory;
use crate::process;
use crate::report::shared as report;
use crate::Plan;

/// To the sink: CPU per message and memory per session.
pub(crate) fn to_sink(
    sink: SocketAddr,
    plan: &Plan,
    sessions: usize,
    asked: &impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let named = |what: &str| asked(&format!("shared: {what}"));
    if !TO_SINK.iter().any(|(_, what)| named(what)) && !named("memory per idle session") {
        return Ok(());
    }
    let mut lanes = lane::dedicated_and_shared_to_sink(sink)?;
    report::head(out)?;
    for (workload, what) in TO_SINK.iter().filter(|(_, what)| named(what)) {
        report::cpu(
            out,
            &format!("sink: {what}"),
            &rounds(*workload, &lanes, plan)?,
        )?;
    }
    if named("memory per idle session") {
        let mut idle = [0; 2];
        for (bytes, lane) in idle.iter_mut().zip(&lanes) {
            if let Some(process) = &lane.process {
                *bytes = memory::idle(lane, process, sessions)?.opened;
            }
        }
        report::memory(
            out,
            &format!("gateway's memory per idle session, {sessions} of them"),
            idle,
            "under 4 kB",
        )?;
    }
    if named("deliver 100 B") {
        // The gateway acknowledges for the page, and the broker sends no more than this ahead.
        lanes[1] = lane::shared_to_sink(sink, AHEAD)?;
        let samples = rounds(Workload::Deliver(100), &lanes, plan)?;
        report::cpu(out, &format!("sink: deliver 100 B, {AHEAD}"), &samples)?;
    }
    Ok(())
}

/// To a real broker: what a browser costs it, how fast sessions come and go, and what a stalled one does to its
/// neighbours.
pub(crate) fn to_real(
    url: &str,
    plan: &Plan,
    asked: &impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let named = |what: &str| asked(&format!("RabbitMQ shared: {what}"));
    let wanted = [MEMORY, SESSIONS, NEIGHBOUR].map(named);
    if !wanted.contains(&true) {
        return Ok(());
    }
    let lanes = lane::dedicated_and_shared_to_real(url)?;
    report::head(out)?;
    if wanted[0] {
        let browsers = plan.sessions / 2;
        match (broker_memory(&lanes[1], browsers)?, broker_memory(&lanes[0], browsers)?) {
            (Some(shared), Some(dedicated)) => {
                report::memory(
                    out,
                    &format!("RabbitMQ: resident {MEMORY}, {browsers} of them, a consumer each"),
                    [dedicated.resident, shared.resident],
                    "at most 0.33",
                )?;
                report::memory(
                    out,
                    "RabbitMQ: the same, as its runtime counts its processes",
                    [dedicated.processes, shared.processes],
                    "",
                )?;
            }
            _ => writeln!(out, "| RabbitMQ: {MEMORY} | not measured: SMEUSE_BENCH_CTL names no rabbitmqctl | | | |")?,
        }
    }
    if wanted[1] {
        let samples = rounds(Workload::Sessions, &lanes, plan)?;
        report::rate(out, &format!("RabbitMQ: {SESSIONS}"), &samples)?;
    }
    if wanted[2] {
        let (alone, beside) = neighbours(&lanes[1], plan)?;
        report::neighbours(out, &alone, &beside)?;
    }
    Ok(())
}

/// Memory of RabbitMQ, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// Of its operating system process. It grows by whole carriers of the runtime's allocators, and what a burst of connects
    /// has taken is not given back at once.
    resident: u64,
    /// Of all its processes, as its runtime counts: no socket is in it.
    processes: u64,
}

/// How much memory a browser with one channel and one consumer costs RabbitMQ.
fn broker_memory(lane: &Lane, browsers: usize) -> io::Result<Option<Memory>> {
    // The queue goes with its last consumer, so the first one stays to the end.
    let queue = load::own_queue("browsers");
    let mut first = lane.open(load::SMALL_BUFFER)?;
    first.declare_auto_delete(&queue)?;
    first.consume(&queue)?;
    let Some(before) = settled_memory()? else {
        return Ok(None);
    };
    let mut open = Vec::with_capacity(browsers);
    for _ in 0..browsers {
        let mut client = lane.open(load::SMALL_BUFFER)?;
        client.consume(&queue)?;
        client.expect(crate::amqp::BASIC_CONSUME_OK)?;
        open.push(client);
    }
    let after = settled_memory()?.unwrap_or(before);
    open.into_iter().try_for_each(Client::close)?;
    first.expect(crate::amqp::BASIC_CONSUME_OK)?;
    first.close()?;
    let each = |after: u64, before: u64| after.saturating_sub(before) / browsers as u64;
    Ok(Some(Memory {
        resident: each(after.resident, before.resident),
        processes: each(after.processes, before.processes),
    }))
}

/// Memory of RabbitMQ once it no longer shrinks: its idle processes go to sleep one by one, and need less then.
fn settled_memory() -> io::Result<Option<Memory>> {
    let mut last = rabbitmq_memory()?;
    for _ in 0..LOOKS {
        std::thread::sleep(BETWEEN_LOOKS);
        let memory = rabbitmq_memory()?;
        let shrinks = last.zip(memory).is_some_and(|(last, memory)| {
            let is_less = |after: u64, before: u64| after < before - before / 100;
            is_less(memory.resident, last.resident) || is_less(memory.processes, last.processes)
        });
        last = memory;
        if !shrinks {
            break;
        }
    }
    Ok(last)
}

/// Memory of RabbitMQ once all its garbage is collected; it says itself, through the command in `SMEUSE_BENCH_CTL`, which
/// process it is. All that its runtime says to have allocated would be no measure: that counts a socket's whole receive
/// buffer, of which a silent connection touches nothing.
fn rabbitmq_memory() -> io::Result<Option<Memory>> {
    let control = std::env::var("SMEUSE_BENCH_CTL").ok();
    let Some(control) = control.filter(|control| !control.is_empty()) else {
        return Ok(None);
    };
    let mut words = control.split(' ');
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .args(["eval", COLLECTED])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.trim().trim_matches(['{', '}']).split_once(',');
    let numbers = said.and_then(|(pid, processes)| {
        let pid = pid.trim_matches('"').parse().ok()?;
        Some((pid, processes.parse().ok()?))
    });
    let Some((pid, processes)) = numbers else {
        return Err(io::Error::other(format!("{control} says {text:?}")));
    };
    let resident = process::memory_of(pid)?;
    Ok(Some(Memory {
        resident,
        processes,
    }))
}

/// Round trips of one session, alone and beside one on the same broker connection that takes none of its deliveries.
fn neighbours(lane: &Lane, plan: &Plan) -> io::Result<(Vec<Sample>, Vec<Sample>)> {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        alone.push(Workload::RoundTrip(100).run(lane, plan.each)?);
        let stalled = stalled(lane)?;
        beside.push(Workload::RoundTrip(100).run(lane, plan.each)?);
        // It still has all that was for it in front of any answer, so it just goes.
        drop(stalled);
        std::thread::sleep(SETTLE);
    }
    Ok((alone, beside))
}

fn stalled(lane: &Lane) -> io::Result<Client> {
    let mut client = lane.open(load::BUFFER)?;
    let queue = load::own_queue("stalled");
    client.declare(&queue, false)?;
    let (block, each) = load::publishes(&client, &queue, STALLED_BODY);
    let mut sent = 0;
    while sent * (STALLED_BODY as u64) < STALLED_BYTES {
        client.write(&block)?;
        sent += each;
    }
    load::arrived(&mut client, &queue, sent)?;
    client.consume(&queue)?;
    std::thread::sleep(SETTLE);
    Ok(client)
}

/// The lanes take turns, and each begins as often.
fn rounds(workload: Workload, lanes: &[Lane; 2], plan: &Plan) -> io::Result<[Vec<Sample>; 2]> {
    let mut samples = [const { Vec::new() }; 2];
    for round in 0..plan.rounds {
        for turn in 0..2 {
            let lane = (round + turn) % 2;
            samples[lane].push(workload.run(&lanes[lane], plan.each)?);
        }
    }
    Ok(samples)
}

const TO_SINK: &[(Workload, &str)] = &[
    (Workload::Publish(100), "publish 100 B"),
    (Workload::Deliver(100), "deliver 100 B"),
];

/// The default is for pages that get now and then something; this for those that get much.
const AHEAD: &str = "prefetch = 2000";

const MEMORY: &str = "memory per browser";
const SESSIONS: &str = "sessions opened and closed";
const NEIGHBOUR: &str = "neighbour of a stalled session";

/// Everything collected first, so that what is left belongs to somebody.
const COLLECTED: &str =
    "[garbage_collect(P) || P <- processes()], {os:getpid(), erlang:memory(processes)}.";

/// More than all the sockets between hold, and little enough not to alarm the broker.
const STALLED_BYTES: u64 = 24 * 1024 * 1024;
const STALLED_BODY: usize = 16 * 1024;

/// How often RabbitMQ's memory is looked at, and after how long.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// For the sockets to fill, and for what a session leaves behind to be cleared away.
const SETTLE: Duration = Duration::from_millis(300);
