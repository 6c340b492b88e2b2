//! Trials: who is in them.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn trial(percent: f64) -> Trial {
    Trial {
        extension: "acme-stamp".to_owned(),
        percent: percent.try_into().unwrap(),
    }
}

fn group_of(user: &str, percent: f64) -> Group {
    trial(percent).group(&Subject {
        user: Some(user),
        address: NOWHERE,
    })
}

/// `printf 'acme-stamp\nuser\nalice' | sha256sum` begins with e16bda01: 88.055 percent of 2^32.
#[test]
fn the_share_of_a_client_is_what_the_documented_command_says() {
    for (subject, percent) in KEPT {
        let subject = match subject {
            Ok(user) => Subject {
                user: Some(user),
                address: NOWHERE,
            },
            Err(address) => Subject {
                user: None,
                address,
            },
        };
        assert_eq!(
            trial(percent).group(&subject),
            Group::Without,
            "{subject:?}"
        );
        let above = trial(percent + 0.01);
        assert_eq!(above.group(&subject), Group::With, "{subject:?}");
    }
}

/// Computed by sha256sum; the lower end of the hundredth of a percent in which the client is.
const KEPT: [(Result<&str, IpAddr>, f64); 4] = [
    (Ok("alice"), 88.05),
    (Ok("bob"), 22.71),
    (Err(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))), 45.58),
    (
        Err(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, 0))),
        90.48,
    ),
];

#[test]
fn a_name_and_an_address_that_read_alike_are_two_clients() {
    let alike = |percent: f64| {
        let by_address = Subject {
            user: None,
            address: NOWHERE,
        };
        trial(percent).group(&by_address) == group_of("0.0.0.0", percent)
    };
    assert!((0..100).any(|percent| !alike(f64::from(percent))));
}

#[test]
fn percentages_are_from_nothing_to_all_with_fractions() {
    for (percent, is_one) in [
        (0.0, true),
        (0.0001, true),
        (12.5, true),
        (100.0, true),
        (100.001, false),
        (-0.1, false),
        (f64::NAN, false),
        (f64::INFINITY, false),
    ] {
        assert_eq!(Percent::try_from(percent).is_ok(), is_one, "{percent}");
    }
    for percent in [0.0, 0.0001, 12.5, 33.3333, 100.0] {
        let kept = f64::from(Percent::try_from(percent).unwrap());
        assert!((kept - percent).abs() < 1e-9, "{kept}");
    }
    for user in ["alice", "bob", ""] {
        assert_eq!(group_of(user, 0.0), Group::Without);
        assert_eq!(group_of(user, 100.0), Group::With);
    }
}

proptest! {
    /// Of many clients the share is the percentage: within five standard deviations of a fair draw.
    #[test]
    fn the_share_is_the_percentage(percent in 0.0..=100.0_f64, salt in any::<u32>()) {
        let users = 4_000;
        let with = (0..users)
            .filter(|user| group_of(&format!("user-{salt}-{user}"), percent) == Group::With)
            .count();
        let share = percent / 100.0;
        let expected = f64::from(users) * share;
        let deviation = (f64::from(users) * share * (1.0 - share)).sqrt();
        let off = (with as f64 - expected).abs();
        prop_assert!(off <= 5.0 * deviation + 1.0, "{with} of {users} at {percent} percent");
    }

    /// Who is in at some percentage stays in at a higher one, and the answer is the same each time.
    #[test]
    fn who_is_in_stays_in(user in ".*", one in 0.0..=100.0_f64, other in 0.0..=100.0_f64) {
        let (less, more) = (one.min(other), one.max(other));
        prop_assert_eq!(group_of(&user, less), group_of(&user, less));
        if group_of(&user, less) == Group::With {
            prop_assert_eq!(group_of(&user, more), Group::With);
        }
    }

    /// Two extensions are tried on clients of their own: of those with the one, the other has its share.
    #[test]
    fn trials_of_two_extensions_are_independent(salt in any::<u32>()) {
        let other = Trial { extension: "acme-other".to_owned(), percent: 50.0.try_into().unwrap() };
        let both = (0..4_000)
            .map(|user| format!("user-{salt}-{user}"))
            .filter(|user| group_of(user, 50.0) == Group::With)
            .filter(|user| other.group(&Subject { user: Some(user), address: NOWHERE }) == Group::With)
            .count();
        prop_assert!((850..1_150).contains(&both), "{both}");
    }
}
