//! Random hostile sessions beside honest ones, for seconds here and for as long as `SMEUSE_HOSTILE_SECONDS` says.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::expect_one_connection;
use super::gateway;
use super::neighbour::Neighbour;
use super::notation;
use super::notation::Case;
use super::notation::Step;
use super::wire::attentive;
use super::wire::Wire;
use crate::harness::gateway::Gateway;
use crate::harness::negotiation::Login;
use crate::harness::rabbitmq::RabbitMq;

const SECTIONS: [&str; 8] = [
    "content",
    "channels",
    "consumers",
    "declarations",
    "kinds",
    "exclusive",
    "methods",
    "connection",
];

/// A small generator with a seed that is said when the test fails (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// How long it goes on: a few seconds unless the environment says more.
fn seconds() -> u64 {
    let asked = std::env::var("SMEUSE_HOSTILE_SECONDS").ok();
    asked.map_or(6, |asked| {
        asked.parse().expect("SMEUSE_HOSTILE_SECONDS is a number")
    })
}

fn honest() -> usize {
    // Fifty for a long run; in the suite they would only wait for each other.
    if seconds() > 60 {
        50
    } else {
        8
    }
}

/// One hostile session: some cases one behind the other, with octets changed, left out or put in here and there, cut into
/// messages anywhere, and then it goes, in order or not.
fn attack(gateway: &Gateway, login: &Login, cases: &[Case], random: &mut Random) {
    let mut wire = Wire::through(gateway, login);
    let unique = format!("smeuse-hostile-{}-", random.below(50));
    for _ in 0..=random.below(4) {
        for step in cases[random.below(cases.len())].steps(&unique) {
            match step {
                Step::Send(bytes) => send(&mut wire, bytes, random),
                Step::Await(method) => {
                    let time = Duration::from_millis(50);
                    wire.read_until(time, |frame| frame.method() == Some(method));
                }
                Step::Pause | Step::Client(_) => (),
            }
        }
        wire.read_until(Duration::from_millis(random.below(20) as u64), |_| false);
        if wire.over() {
            break;
        }
    }
    if random.below(2) == 0 {
        // It hangs up without a word.
        wire.ended = true;
    }
}

fn send(wire: &mut Wire, mut bytes: Vec<u8>, random: &mut Random) {
    if random.below(3) == 0 && !bytes.is_empty() {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.next() as u8),
        }
    }
    let cut = random.below(bytes.len() + 1);
    for part in [&bytes[..cut], &bytes[cut..]] {
        if !part.is_empty() {
            wire.send(part);
        }
    }
}

/// Ends the attacks, however the test goes on.
struct EndOfAttacks<'a>(&'a AtomicBool);

impl Drop for EndOfAttacks<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Honest sessions lose nothing, and their connection is never lost.
#[test]
fn honest_sessions_lose_nothing_beside_hostile_ones() {
    let rabbitmq = RabbitMq::shared();
    let gateway = gateway(rabbitmq.uri());
    let login = attentive(Login::default());
    let cases: Vec<Case> = SECTIONS.into_iter().flat_map(notation::section).collect();
    let neighbours: Vec<Neighbour> = (0..honest()).map(|_| Neighbour::start(&gateway)).collect();
    let seed = std::env::var("SMEUSE_HOSTILE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SMEUSE_HOSTILE_SEED={seed}");
    let started = Instant::now();
    let attacks = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = EndOfAttacks(&over);
        for attacker in 0..3 {
            let (gateway, login, cases) = (&gateway, &login, &cases);
            let (attacks, over) = (&attacks, &over);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(31).wrapping_add(attacker));
                while !over.load(Ordering::Relaxed) {
                    attack(gateway, login, cases, &mut random);
                    attacks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while started.elapsed() < Duration::from_secs(seconds()) {
            std::thread::sleep(Duration::from_millis(200));
            expect_one_connection(&gateway);
        }
    });
    println!("{} hostile sessions", attacks.load(Ordering::Relaxed));
    assert!(attacks.into_inner() > 0);
    for neighbour in neighbours {
        neighbour.expect_progress();
        assert!(!neighbour.finish().is_empty());
    }
    expect_one_connection(&gateway);
}
