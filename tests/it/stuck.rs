//! A disk that does not answer holds up nothing but what is to be written to it.

use crate::scenes::{Read, place, play};

#[test]
fn while_the_disk_does_not_answer_the_user_is_obeyed_the_clock_goes_on_and_the_component_ends() {
    let place = place();
    let said = play("stuck/disk", &place, 90);
    // What the user has changed counts at once: nothing more is recorded by the rules of the former session.
    assert!(said.get("until_the_session_gives_way_ms") < 3_000, "{said:?}");
    assert_eq!(said.get("is_of_the_second"), 1, "{said:?}");
    // Ten seconds are the most.
    assert!((9_000..20_000).contains(&said.get("shutdown_ms")), "{said:?}");
    assert_eq!(said.get("left"), 0, "{said:?}");
    let read = Read::of(&place);
    read.assert_sound();
    read.assert_lane(0, 12);
    read.assert_lane(1, 10);
    let times: Vec<_> = read.events.iter().filter(|e| e.lane == 0).map(|e| e.time).collect();
    assert!(times[11] - times[10] >= 250_000_000, "the coarse clock stood still: {times:?}");
}
