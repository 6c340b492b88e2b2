//! What sessions cost in memory: idle ones, and one whose reader stalls while much waits for it.

use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::client::Client;
use crate::lane::Lane;
use crate::load;
use crate::load::Taken;
use crate::process::until;
use crate::process::Process;

/// Resident memory per idle session, in bytes.
pub(crate) struct Idle {
    pub(crate) sessions: usize,
    /// As opened: logged in, one channel, nothing carried yet.
    pub(crate) opened: u64,
    /// After each has carried a publish of 64 KiB.
    pub(crate) used: u64,
}

/// Opens sessions until there are so many, and weighs them.
pub(crate) fn idle(lane: &Lane, process: &Process, sessions: usize) -> io::Result<Idle> {
    // What the first sessions cost once (pools, tables, code paged in) is not a session's.
    for _ in 0..WARM_UP {
        lane.open(load::SMALL_BUFFER)?.close()?;
    }
    let before = settled(process)?;
    let mut open = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        open.push(lane.open(load::SMALL_BUFFER)?);
    }
    let opened = settled(process)?.saturating_sub(before) / sessions as u64;
    for client in &mut open {
        let (block, count) = load::publishes(client, "idle", 60 * 1024);
        client.write(&block)?;
        load::arrived(client, "idle", count)?;
    }
    let used = settled(process)?.saturating_sub(before) / sessions as u64;
    open.into_iter().try_for_each(Client::close)?;
    Ok(Idle {
        sessions,
        opened,
        used,
    })
}

/// Resident memory around a stall, in bytes.
pub(crate) struct Stall {
    pub(crate) before: u64,
    /// The most seen while nobody read.
    pub(crate) during: u64,
    /// The most seen from then until the last byte had come.
    pub(crate) draining: u64,
    pub(crate) after: u64,
}

/// Has the sink offer `offered` bytes of deliveries to a client that reads nothing for `pause`, and
/// then all.
pub(crate) fn stalled_client(
    lane: &Lane,
    process: &Process,
    offered: u64,
    pause: Duration,
) -> io::Result<Stall> {
    let mut client = lane.open(load::BUFFER)?;
    let before = settled(process)?;
    let count = offered / BODY as u64;
    client.consume(&format!("flood.{BODY}.{count}"))?;
    let during = most(process, pause)?;
    let mut taken = Taken::of(BODY);
    let mut draining = during;
    let mut looked = Instant::now();
    while taken.messages < count {
        client.read(|frame| taken.frame(&frame))?;
        if looked.elapsed() > LOOK {
            draining = draining.max(process.memory()?);
            looked = Instant::now();
        }
    }
    let after = settled(process)?;
    client.close()?;
    Ok(Stall {
        before,
        during,
        draining,
        after,
    })
}

/// Publishes `offered` bytes to a sink that reads nothing for `pause`, and then all.
pub(crate) fn stalled_broker(
    lane: &Lane,
    process: &Process,
    offered: u64,
    pause: Duration,
) -> io::Result<Stall> {
    let mut client = lane.open(load::BUFFER)?;
    let before = settled(process)?;
    let (block, each) = load::publishes(&client, "stalled", BODY);
    client.declare(&format!("stall.{}", pause.as_millis()), false)?;
    let (during, sent) = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut sent = 0;
            while sent * (BODY as u64) < offered {
                client.write(&block)?;
                sent += each;
            }
            Ok::<u64, io::Error>(sent)
        });
        let during = most(process, pause);
        let sent = publisher
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("panicked")));
        (during, sent)
    });
    let (during, sent) = (during?, sent?);
    load::arrived(&mut client, "stalled", sent)?;
    let draining = during.max(process.memory()?);
    let after = settled(process)?;
    client.close()?;
    Ok(Stall {
        before,
        during,
        draining,
        after,
    })
}

/// The most memory seen within a time.
fn most(process: &Process, time: Duration) -> io::Result<u64> {
    let mut most = 0;
    until(time, || {
        most = most.max(process.memory()?);
        Ok(false)
    })?;
    Ok(most)
}

/// Memory once it has been the same for a while, or does not come to rest in time.
fn settled(process: &Process) -> io::Result<u64> {
    let mut last = process.memory()?;
    let mut since = Instant::now();
    until(SETTLE_DEADLINE, || {
        let now = process.memory()?;
        if now != last {
            last = now;
            since = Instant::now();
        }
        Ok(since.elapsed() > SETTLE)
    })?;
    Ok(last)
}

/// Of a stalled stream, in bytes.
const BODY: usize = 16 * 1024;

const WARM_UP: usize = 100;
const LOOK: Duration = Duration::from_millis(20);
const SETTLE: Duration = Duration::from_millis(300);
const SETTLE_DEADLINE: Duration = Duration::from_secs(3);
