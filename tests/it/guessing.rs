//! Guessing of passwords: how fast it may go, over however many sessions.

use std::time::Duration;
use std::time::Instant;

use crate::harness::configuration;
use crate::harness::configuration::AMQP_PATH;
use crate::harness::extended;
use crate::harness::gateway::Gateway;
use crate::harness::opening::Opening;
use crate::harness::users;
use crate::harness::users::JOE;
use crate::harness::users::JOE_WRONG;
use crate::harness::users::USERS;

/// Credentials of one address that are checked at a time.
const SHARE: usize = 8;

/// What a wrong answer costs a client.
const DELAY: Duration = Duration::from_secs(1);

fn gateway() -> Gateway {
    let login = users::login(USERS, "[\"application-basic\", \"basic\"]", "");
    let service = configuration::amqp_with_lines("amqp://127.0.0.1:1", &login);
    Gateway::start(&service)
}

/// Wrong credentials are answered late, and an address has a share of those that are checked; what comes beyond it is
/// told to come back, and is served when it does.
#[test]
fn an_address_may_guess_eight_times_a_second() {
    let gateway = gateway();
    let began = Instant::now();
    let mut guessing: Vec<_> = (0..SHARE)
        .map(|_| {
            let mut client = extended::begin(&gateway, AMQP_PATH);
            client.send_text(&extended::request(&[("Authorization", JOE_WRONG)]));
            client
        })
        .collect();
    // The ninth is answered while the eight are held back, whatever it knows.
    let refused = loop {
        let mut client = extended::begin(&gateway, AMQP_PATH);
        let response = extended::ask(&mut client, &[("Authorization", JOE)]);
        assert!(began.elapsed() < 2 * DELAY, "nobody was turned away");
        if response.status != 101 {
            client.expect_close_and_answer(1013);
            break response;
        }
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.starts_with("login_unavailable: "));
    for client in &mut guessing {
        assert_eq!(extended::answer(client).status, 401);
    }
    assert!(began.elapsed() >= DELAY);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let response = extended::ask(&mut client, &[("Authorization", JOE)]);
    assert_eq!(response.status, 101);
}

/// Who hangs up instead of waiting for the answer has guessed all the same: the place stays taken.
#[test]
fn hanging_up_does_not_make_room_for_the_next_guess() {
    let gateway = gateway();
    let began = Instant::now();
    let guessing: Vec<_> = (0..SHARE)
        .map(|_| {
            let mut client = extended::begin(&gateway, AMQP_PATH);
            client.send_text(&extended::request(&[("Authorization", JOE_WRONG)]));
            client
        })
        .collect();
    // Known to the gateway, and counted, long before the clients are told.
    let wrong = "smeuse_logins_total{outcome=\"wrong\",service=\"amqp\"}";
    gateway.wait_metric(wrong, SHARE as f64);
    drop(guessing);
    gateway.wait_metric("smeuse_sessions{service=\"amqp\"}", 0.0);
    let mut client = extended::begin(&gateway, AMQP_PATH);
    let response = extended::ask(&mut client, &[("Authorization", JOE)]);
    assert!(began.elapsed() < DELAY, "too slow a machine to tell");
    assert_eq!(response.status, 503, "{response:?}");
}

/// The same in the opening handshake.
#[test]
fn a_wrong_answer_in_the_opening_is_late_as_well() {
    let gateway = gateway();
    let began = Instant::now();
    let opening = Opening::new(gateway.public(), AMQP_PATH).with("Authorization", JOE_WRONG);
    let response = crate::harness::refusal::expect_refusal(
        &gateway,
        &opening.bytes(),
        401,
        "credentials_wrong",
    );
    assert!(began.elapsed() >= DELAY);
    let asked = extended::lines(&response, "WWW-Authenticate");
    assert_eq!(asked, ["Basic charset=\"UTF-8\", realm=\"Smeuse\""]);
}
