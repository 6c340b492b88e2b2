//! Tests of logins and guesses.

use super::*;

fn digest(number: u8) -> Digest {
    [number; 32]
}

#[test]
fn a_ticket_is_good_for_its_life_or_until_it_is_taken_away() {
    let mut tickets = Tickets::default();
    let now = Instant::now();
    tickets.add(digest(1), now);
    tickets.add(digest(2), now);
    assert!(tickets.has(&digest(1), now + LIFE - Duration::from_secs(1)));
    assert!(!tickets.has(&digest(1), now + LIFE));
    assert!(!tickets.has(&digest(3), now));
    tickets.remove(&digest(1));
    assert!(!tickets.has(&digest(1), now));
    assert!(tickets.has(&digest(2), now));
    tickets.clear();
    assert!(!tickets.has(&digest(2), now));
}

#[test]
fn of_too_many_tickets_the_oldest_ends() {
    let mut tickets = Tickets::default();
    let now = Instant::now();
    for number in 0..=u8::try_from(MOST_TICKETS).unwrap() {
        tickets.add(digest(number), now + Duration::from_secs(number.into()));
    }
    assert_eq!(tickets.0.len(), MOST_TICKETS);
    assert!(!tickets.has(&digest(0), now));
    assert!(tickets.has(&digest(1), now));
    // Those that are over make room first.
    tickets.add(digest(200), now + 2 * LIFE);
    assert_eq!(tickets.0.len(), 1);
}

#[test]
fn an_address_has_a_few_guesses_and_others_have_theirs() {
    let mut guesses = Guesses::default();
    let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
    for _ in 0..MOST_GUESSES {
        assert!(!guesses.has_too_many(address(1)));
        guesses.begin(address(1));
    }
    assert!(guesses.has_too_many(address(1)));
    assert!(!guesses.has_too_many(address(2)));
    guesses.end(address(1));
    assert!(!guesses.has_too_many(address(1)));
    let new = address(MOST_GUESSERS + 1);
    for number in 2..=MOST_GUESSERS {
        assert!(guesses.has_room_for(new));
        guesses.begin(address(number));
    }
    // No room, which is not its own doing.
    assert!(!guesses.has_room_for(new));
    assert!(!guesses.has_too_many(new));
    assert!(guesses.has_room_for(address(1)));
    guesses.end(address(2));
    assert!(guesses.has_room_for(new));
}

#[test]
fn the_addresses_of_one_ipv6_host_guess_as_one() {
    let mut guesses = Guesses::default();
    for last in 1..=MOST_GUESSES {
        guesses.begin(format!("2001:db8::{last:x}").parse().unwrap());
    }
    assert!(guesses.has_too_many("2001:db8::ffff".parse().unwrap()));
    assert!(!guesses.has_too_many("2001:db8:0:1::1".parse().unwrap()));
}
