//! Frame boundaries, found wherever the bytes are cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    frame_max: 4096,
    channel_max: 100,
};

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        kind: FrameKind(kind),
        channel,
        size: payload.len() as u32,
    };
    [&header.encode()[..], payload, &[END_OCTET]].concat()
}

/// Feeds the pieces to one scanner; gives what it let through, the frames it saw and its failure.
fn feed(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Seen>, Option<FrameError>) {
    let (mut passed, mut seen) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::default();
    for piece in pieces {
        let held = scanner.held();
        let scan = scanner.scan(piece, LIMITS, |frame| {
            seen.push(frame);
            Then::GoOn
        });
        if scan.passed > 0 {
            passed.extend_from_slice(held.as_slice());
            passed.extend_from_slice(&piece[..scan.passed]);
        }
        match scan.end {
            ScanEnd::Exhausted => {}
            ScanEnd::Stopped => panic!("nobody asked to stop"),
            ScanEnd::Failed(error) => return (passed, seen, Some(error)),
        }
    }
    passed.extend_from_slice(scanner.held().as_slice());
    (passed, seen, None)
}

fn sample() -> Vec<u8> {
    [
        frame(1, 3, &[0, 60, 0, 40, 0, 0, 0, 0, 0]),
        frame(2, 3, &[0; 14]),
        frame(3, 3, &[0xCE; 20]),
        frame(8, 0, &[]),
        frame(1, 0, &[0, 10, 0]),
        frame(3, 3, &[]),
    ]
    .concat()
}

#[test]
fn frames_are_seen_with_their_methods() {
    let bytes = sample();
    let (passed, seen, error) = feed(&[&bytes]);
    assert_eq!((passed, error), (bytes, None));
    let kinds: Vec<u8> = seen.iter().map(|frame| frame.header.kind.0).collect();
    assert_eq!(kinds, [1, 2, 3, 8, 1, 3]);
    let methods: Vec<_> = seen.iter().filter_map(|frame| frame.method).collect();
    assert_eq!(
        methods,
        [MethodId::BASIC_PUBLISH],
        "three bytes are no method number"
    );
}

#[test]
fn every_cut_and_every_byte_alone_give_the_same() {
    let bytes = sample();
    let whole = feed(&[&bytes]);
    for cut in 0..=bytes.len() {
        let (front, back) = bytes.split_at(cut);
        assert_eq!(feed(&[front, back]), whole, "cut at {cut}");
    }
    let alone: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(feed(&alone), whole);
}

#[test]
fn a_payload_is_passed_on_as_it_arrives() {
    let bytes = frame(3, 1, &[7; 100]);
    let mut scanner = Scanner::default();
    let scan = scanner.scan(&bytes[..6], LIMITS, |_| unreachable!());
    assert_eq!(
        scan,
        Scan {
            passed: 0,
            end: ScanEnd::Exhausted
        }
    );
    assert_eq!(scanner.held().as_slice(), &bytes[..6]);
    assert_eq!(
        (scanner.held().len(), scanner.held().is_empty()),
        (6, false)
    );
    let scan = scanner.scan(&bytes[6..50], LIMITS, |_| unreachable!());
    assert_eq!(
        scan,
        Scan {
            passed: 44,
            end: ScanEnd::Exhausted
        }
    );
    assert!(scanner.held().is_empty());
    assert!(!scanner.is_between_frames());
    let scan = scanner.scan(&bytes[50..], LIMITS, |_| Then::Stop);
    assert_eq!(
        scan,
        Scan {
            passed: 58,
            end: ScanEnd::Stopped
        }
    );
    assert!(scanner.is_between_frames());
}

#[test]
fn nothing_passes_beyond_a_fault() {
    let good = frame(1, 1, &[0, 60, 0, 40]);
    let mut wrong_end = frame(3, 1, &[1, 2, 3]);
    *wrong_end.last_mut().unwrap() = 0;
    let faults: [(Vec<u8>, usize); 5] = [
        (frame(4, 1, &[]), 0),
        (frame(3, 1, &[0; 4089]), 0),
        (frame(1, 101, &[0; 4]), 0),
        (frame(8, 1, &[]), 0),
        (wrong_end, 10),
    ];
    for (fault, passes) in faults {
        let bytes = [good.clone(), fault, good.clone()].concat();
        let expected = &bytes[..good.len() + passes];
        let (passed, seen, error) = feed(&[&bytes]);
        assert_eq!((passed.as_slice(), seen.len()), (expected, 1));
        assert!(error.is_some());
        for cut in 0..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            let cut_feed = feed(&[front, back]);
            assert_eq!(
                (cut_feed.0.as_slice(), cut_feed.2),
                (expected, error),
                "cut at {cut}"
            );
        }
        let alone: Vec<&[u8]> = bytes.chunks(1).collect();
        let fed = feed(&alone);
        assert_eq!((fed.0.as_slice(), fed.2), (expected, error));
    }
}

#[test]
fn whole_frames_leaves_the_incomplete_one_and_tells_its_size() {
    let bytes = sample();
    let (mut ends, mut at) = (vec![0], 0);
    while at < bytes.len() {
        at += FrameHeader::decode(&bytes[at..]).unwrap().frame_size() as usize;
        ends.push(at);
    }
    for cut in 0..=bytes.len() {
        let found = whole_frames(&bytes[..cut], LIMITS, |_| Then::GoOn);
        let index = ends.iter().rposition(|end| *end <= cut).unwrap();
        let next = if cut - ends[index] < HEADER_SIZE {
            0
        } else {
            ends[index + 1] - ends[index]
        };
        let expected = WholeFrames {
            passed: ends[index],
            incomplete: next,
            end: ScanEnd::Exhausted,
        };
        assert_eq!(found, expected, "cut at {cut}");
    }
}

#[test]
fn whole_frames_judges_a_header_before_its_payload_is_there() {
    let found = whole_frames(&[3, 0, 1, 0, 0, 0x0f, 0xf9], LIMITS, |_| Then::GoOn);
    assert!(matches!(
        found.end,
        ScanEnd::Failed(FrameError::TooLarge {
            payload_max: 4088,
            ..
        })
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_a_scan_panic(pieces in vec(vec(any::<u8>(), 0..40), 0..8)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let whole = pieces.concat();
        let (passed, _, error) = feed(&pieces);
        prop_assert!(whole.starts_with(&passed));
        prop_assert_eq!(error, feed(&[&whole]).2);
        whole_frames(&whole, LIMITS, |_| Then::GoOn);
    }
}
