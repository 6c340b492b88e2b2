//! What the extended handshake and agreed extensions cost: the same gateway with and without them, in turn.

use std::io;
use std::io::Write;
use std::net::SocketAddr;

use crate::lane;
use crate::lane::Lane;
use crate::load::Sample;
use crate::load::Workload;
use crate::memory;
use crate::report;
use crate::Plan;

/// Runs what was asked for of this and prints it.
pub(crate) fn run(
    plain: &Lane,
    plan: &Plan,
    asked: &impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let lanes = lane::with_extensions(plain, &UNCLAIMING)?;
    let mut headed = false;
    for (workload, what) in [
        (Workload::Publish(100), "publish 100 B"),
        (Workload::Deliver(100), "deliver 100 B"),
    ] {
        let names: Vec<String> = ["none again"]
            .iter()
            .chain(&UNCLAIMING)
            .map(|offers| format!("extensions: {what}, {offers}"))
            .collect();
        if !names.iter().any(|name| asked(name)) {
            continue;
        }
        if !std::mem::replace(&mut headed, true) {
            report::extensions_head(out)?;
        }
        let samples = rounds(workload, &lanes, plan)?;
        for (name, with) in names.iter().zip(&samples[1..]) {
            report::extensions(out, name, &samples[0], with)?;
        }
    }
    if asked("handshakes") {
        let samples = rounds(Workload::Handshakes, &lanes[1..3], plan)?;
        let pings = rounds(Workload::Pings, &lanes[..1], plan)?;
        report::handshakes(out, &samples[0], &samples[1], &pings[0])?;
    }
    Ok(())
}

/// Weighs idle sessions that have extensions, in a gateway that has had no others.
pub(crate) fn idle(broker: SocketAddr, sessions: usize, out: &mut impl Write) -> io::Result<()> {
    for extensions in UNCLAIMING {
        let lane = lane::extended(broker, extensions)?;
        if let Some(process) = &lane.process {
            let idle = memory::idle(&lane, process, sessions)?;
            report::idle_with(out, extensions, &idle)?;
        }
    }
    Ok(())
}

/// The lanes take turns, and each begins as often; the differences that are looked for are small, so more often than
/// elsewhere.
fn rounds(workload: Workload, lanes: &[Lane], plan: &Plan) -> io::Result<Vec<Vec<Sample>>> {
    let mut samples: Vec<Vec<Sample>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..3 * plan.rounds {
        for turn in 0..lanes.len() {
            let lane = (round + turn) % lanes.len();
            samples[lane].push(workload.run(&lanes[lane], plan.each / 2)?);
        }
    }
    Ok(samples)
}

/// Extensions that claim none of what AMQP sends.
const UNCLAIMING: [&str; 2] = [
    "x-kaazing-idle-timeout",
    "x-kaazing-idle-timeout, x-kaazing-ping-pong",
];
