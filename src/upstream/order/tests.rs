//! The tours of sessions through their brokers.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn brokers_in_back_off_are_passed_over_and_waited_for_if_there_is_no_other() {
    let now = Instant::now();
    let soon = Standing::Until(now + Duration::from_secs(1));
    let late = Standing::Until(now + Duration::from_secs(2));
    let mut tour = Tour::new(3, 0);
    let standings = [late, soon, Standing::Up];
    assert_eq!(tour.next(|index| standings[index]), Choice::Try(2));
    tour.has_tried(2);
    let wait = |is_on_trial| Choice::Wait {
        index: 1,
        until: now + Duration::from_secs(1),
        is_on_trial,
    };
    assert_eq!(tour.next(|index| standings[index]), wait(false));
    let on_trial = Standing::OnTrial(now + Duration::from_secs(3));
    let standings = [on_trial, soon, Standing::Up];
    assert_eq!(tour.next(|index| standings[index]), wait(true));
    assert_eq!(tour.next(|_| Standing::Due), Choice::Try(0));
    tour.has_tried(0);
    tour.has_tried(1);
    assert_eq!(tour.next(|_| Standing::Up), Choice::None);
}

proptest! {
    #[test]
    fn a_tour_visits_each_once_from_its_first_on(count in 1_usize..9, first in any::<usize>()) {
        let mut tour = Tour::new(count, first);
        let mut visited = Vec::new();
        while let Choice::Try(index) = tour.next(|_| Standing::Up) {
            tour.has_tried(index);
            visited.push(index);
        }
        let expected: Vec<_> = (0..count).map(|step| (first % count + step) % count).collect();
        prop_assert_eq!(visited, expected);
        prop_assert_eq!((tour.tried(), tour.left()), (count, 0));
    }
}
