//! Whatever the bytes are: no panic, and what is intact is exact.

use proptest::prelude::*;
use tracewell::{Tracer, emit};
use tracewell_reader::render::text::TextRenderer;
use tracewell_reader::{Filter, Trace};
use tracewell_tests::{Numbered, Place, text_of};

fn golden() -> Vec<u8> {
    let place = Place::new();
    let session = place.enable();
    let tracer = Tracer::builder("golden").dir(place.dirs.base()).attach().unwrap();
    for number in 0..300 {
        emit!(tracer, Numbered { lane: 0, number, text: &text_of(number) });
        if number % 100 == 99 {
            tracer.flush().unwrap();
        }
    }
    tracer.shutdown();
    let path = std::fs::read_dir(session.folder).unwrap().next().unwrap().unwrap().path();
    std::fs::read(path).unwrap()
}

/// The lines of a segment, and whether the reader called it complete.
fn lines(bytes: &[u8]) -> Option<(Vec<String>, bool)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_pid1_00000000_000001.twseg");
    std::fs::write(&path, bytes).unwrap();
    let trace = Trace::open(&[path], &[]).ok()?;
    let (mut all, mut renderer) = (Vec::new(), TextRenderer::new(false));
    let summary = trace
        .read(&Filter::default(), |item| {
            let mut line = String::new();
            renderer.push(&mut line, item);
            // Without time and thread: fewer clock points interpolate to other nanoseconds, and who the thread was
            // stands in a block of its own.
            all.push(line.split_once("] ").unwrap().1.to_owned());
            Ok::<(), std::io::Error>(())
        })
        .unwrap();
    Some((all, summary.is_complete()))
}

#[test]
fn every_truncation_gives_whole_events_and_says_so() {
    let bytes = golden();
    let (whole, complete) = lines(&bytes).unwrap();
    assert!(complete && whole.len() == 300);
    for len in (0..bytes.len()).step_by(13).chain(bytes.len() - 20..bytes.len()) {
        let Some((some, complete)) = lines(&bytes[..len]) else { continue };
        assert!(!complete, "length {len} of {}", bytes.len());
        assert!(some.iter().all(|line| whole.contains(line)), "length {len}");
    }
}

#[test]
fn flipped_bits_are_noticed_or_harmless() {
    let bytes = golden();
    let (whole, _) = lines(&bytes).unwrap();
    for bit in (0..bytes.len() * 8).step_by(37) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let Some((some, complete)) = lines(&flipped) else { continue };
        let events: Vec<_> = some.iter().filter(|l| !l.contains("are missing here")).collect();
        assert!(events.iter().all(|line| whole.contains(line)), "bit {bit}");
        assert!(!complete || events.len() == whole.len(), "bit {bit} was not noticed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), as_segment in any::<bool>()) {
        if as_segment && bytes.len() > 8 {
            bytes[..8].copy_from_slice(b"TWSEG\r\n\x1a");
        }
        lines(&bytes);
    }
}
