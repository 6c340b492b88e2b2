//! Tests of the table: what a search finds, how rows are ordered and cut, what each has carried, and that a push stays
//! small. The last test measures 50,000 sessions.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering as Atomic;

use actix::Actor;
use actix::Context;
use actix::Handler;
use actix::Recipient;

use super::*;
use crate::admin::live::push;
use crate::admin::live::query::MOST_ROWS;
use crate::downstream::config::Limits;
use crate::downstream::registry::Agreed;
use crate::downstream::registry::Control;
use crate::downstream::registry::Stage;
use crate::downstream::registry::Traffic;
use crate::downstream::Sessions;

/// Takes orders and does nothing.
struct Deaf;

impl Actor for Deaf {
    type Context = Context<Self>;
}

impl Handler<Control> for Deaf {
    type Result = ();

    fn handle(&mut self, _: Control, _: &mut Self::Context) {}
}

fn entry(control: &Recipient<Control>, user: &str, client: IpAddr, opened: Instant) -> Entry {
    let traffic = Traffic::default();
    if !user.is_empty() {
        let agreed = Agreed {
            user: user.to_owned(),
            ..Agreed::default()
        };
        assert!(traffic.agreed.set(Box::new(agreed)).is_ok());
    }
    Entry {
        control: control.clone(),
        client,
        service: "amqp".into(),
        opened,
        traffic: Arc::new(traffic),
        is_ended: AtomicBool::new(false),
    }
}

fn id(number: u64) -> SessionId {
    format!("{number:x}").parse().unwrap()
}

fn address(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + number).to_be_bytes())
}

/// Runs where an actor can be started.
fn with_control(test: impl FnOnce(Recipient<Control>)) {
    actix_rt::System::new().block_on(async { test(Deaf.start().recipient()) });
}

/// Sessions of these users, one second older each, the first of them now.
fn table(control: &Recipient<Control>, users: &[&str], before: &Before) -> Table {
    let now = Instant::now();
    let entries = users.iter().zip(1..).map(|(user, number)| {
        let opened = now - Duration::from_secs(number - 1);
        let entry = entry(control, user, address(number as u32), opened);
        entry
            .traffic
            .bytes_to_client
            .store(number * 100, Atomic::Relaxed);
        (id(number), Arc::new(entry))
    });
    Table::new(entries.collect(), before, Some(Duration::from_secs(2)), now)
}

fn view(search: &str) -> View {
    View {
        search: search.to_owned(),
        ..View::default()
    }
}

fn users(rows: &Rows) -> Vec<&str> {
    rows.rows.iter().map(|row| row.1.as_str()).collect()
}

#[test]
fn a_search_finds_users_addresses_and_beginnings_of_ids() {
    with_control(|control| {
        let table = table(&control, &["Alice", "bob", "", "Ålice"], &Before::new());
        for (search, expected) in [
            ("", 4),
            ("alice", 1),
            ("lice", 2),
            ("ålice", 1),
            ("10.0.0.", 4),
            ("10.0.0.3", 1),
            ("0000000000000002", 1),
            ("00000000", 4),
            ("2000", 0),
            ("nobody", 0),
        ] {
            let rows = table.rows(&view(search));
            assert_eq!((rows.total, rows.found), (4, expected), "{search}");
        }
        let other = View {
            service: Some("other".to_owned()),
            ..View::default()
        };
        assert_eq!(table.rows(&other).found, 0);
    });
}

#[test]
fn rows_are_in_the_order_asked_for_and_cut_behind_it() {
    with_control(|control| {
        let table = table(&control, &["c", "a", "b"], &Before::new());
        for (order, descending, expected) in [
            (Order::User, false, ["a", "b", "c"]),
            (Order::User, true, ["c", "b", "a"]),
            (Order::Age, true, ["b", "a", "c"]),
            (Order::Age, false, ["c", "a", "b"]),
            (Order::Client, false, ["c", "a", "b"]),
            (Order::Bytes, true, ["b", "a", "c"]),
            (Order::Rate, true, ["b", "a", "c"]),
            // All the same: by their ids, so that they stay where they are.
            (Order::Service, true, ["c", "a", "b"]),
        ] {
            for limit in 1..=3 {
                let view = View {
                    order,
                    descending,
                    limit,
                    ..View::default()
                };
                let rows = table.rows(&view);
                assert_eq!(users(&rows), expected[..limit], "{order:?} {descending}");
                assert_eq!(rows.found, 3);
            }
        }
    });
}

#[test]
fn rates_are_what_was_carried_since_the_last_look() {
    with_control(|control| {
        let before: Before = [(id(1), [0, 40, 0, 0])].into();
        let table = table(&control, &["was there", "is new"], &before);
        let detail = |number| serde_json::to_value(table.detail(id(number)).unwrap()).unwrap();
        // 60 bytes more within two seconds; and all its 200 within them.
        assert_eq!(detail(1)["bytes_per_second"][1], 30.0);
        assert_eq!(detail(2)["bytes_per_second"][1], 100.0);
        assert_eq!(detail(2)["user"], "is new");
        assert_eq!(detail(2)["stage"], "handshake");
        assert!(table.detail(id(3)).is_none());
        assert_eq!(table.remember()[&id(2)], [0, 200, 0, 0]);
    });
}

#[test]
fn idle_is_the_time_since_data_went_either_way() {
    with_control(|control| {
        let now = Instant::now();
        let entry = entry(&control, "", address(1), now - Duration::from_secs(60));
        entry.traffic.moves(Duration::from_secs(45));
        entry.traffic.reach(Stage::Open);
        entry.traffic.reach(Stage::Login);
        let table = Table::new(vec![(id(1), Arc::new(entry))], &Before::new(), None, now);
        let detail = serde_json::to_value(table.detail(id(1)).unwrap()).unwrap();
        assert_eq!(detail["age_seconds"], 60);
        assert_eq!(detail["idle_seconds"], 15);
        assert_eq!(detail["stage"], "open");
    });
}

#[test]
fn a_push_stays_small_whatever_users_are_called() {
    with_control(|control| {
        let name = "\u{1}\"\\".repeat(85);
        let names = vec![name.as_str(); MOST_ROWS + 1];
        let table = table(&control, &names, &Before::new());
        let view = View {
            limit: MOST_ROWS,
            selected: Some(id(1)),
            ..View::default()
        };
        let text = push::text(7, "{}", None, &table, &view);
        assert!(text.len() <= push::PUSH_MAX, "{} bytes", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["own"]["number"], 7);
        assert_eq!(value["own"]["sessions"]["found"], MOST_ROWS + 1);
        let rows = value["own"]["sessions"]["rows"].as_array().unwrap();
        assert!(
            (10..=MOST_ROWS).contains(&rows.len()),
            "{} rows",
            rows.len()
        );
        assert_eq!(value["own"]["detail"]["id"], "0000000000000001");
    });
}

/// With 50,000 sessions a look at all of them takes no part of a second that anybody notices, and no part of the
/// registry is held for long: workers that open and close sessions meanwhile hardly wait.
#[test]
fn fifty_thousand_sessions_are_looked_at_in_no_time() {
    with_control(|control| {
        let sessions = Arc::new(Sessions::new(Limits::default()));
        let now = Instant::now();
        for number in 0..50_000_u64 {
            let user = format!("user-{}", number % 9973);
            let entry = entry(&control, &user, address(number as u32), now);
            sessions.enter(id(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), entry);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let (worker, over) = (Arc::clone(&sessions), Arc::clone(&is_over));
        let newcomer = entry(&control, "newcomer", address(0), now);
        let waiting = std::thread::spawn(move || {
            let (mut newcomer, mut longest) = (Some(newcomer), Duration::ZERO);
            while !over.load(Atomic::Relaxed) {
                let before = Instant::now();
                if let Some(entry) = newcomer.take() {
                    worker.enter(id(u64::MAX), entry);
                }
                worker.leave(id(u64::MAX - 1));
                longest = longest.max(before.elapsed());
            }
            longest
        });
        let mut before = Before::new();
        let mut took = Vec::new();
        for search in ["", "user-9", "10.0.", ""] {
            let started = Instant::now();
            let table = Table::new(
                sessions.entries(),
                &before,
                Some(Duration::from_secs(1)),
                now,
            );
            before = table.remember();
            let text = push::text(1, "{}", None, &table, &view(search));
            took.push((search, started.elapsed(), text.len()));
            assert!(text.len() <= push::PUSH_MAX);
            assert!(table.rows(&view(search)).found > 1000, "{search}");
        }
        is_over.store(true, Atomic::Relaxed);
        let longest = waiting.join().unwrap();
        println!("looks at 50,000 sessions: {took:?}; a worker waited {longest:?} at most");
        for (search, time, _) in took {
            assert!(time < Duration::from_millis(500), "{search}: {time:?}");
        }
    });
}
