use std::slice::from_ref;

use crate::bounds::{MEMORY_PER_BYTE, READER_MEMORY, bounded};
use crate::place;
use crate::read::{Look, MOST_DECODED, check, decoded_len};
use crate::scene::{self, Item};

/// The oracle's own memory, with that of the reader.
fn memory(bytes: usize) -> usize {
    READER_MEMORY + bytes * MEMORY_PER_BYTE
}

const BOTH: Look = Look { text: true, json: true, is_honest: false };

/// One segment, sealed and not.
pub fn segment(data: &[u8]) -> bool {
    let decoded = decoded_len(data);
    if decoded > MOST_DECODED {
        return false;
    }
    let dir = place::empty();
    let paths = [dir.join("a_pid1_00000000_000001.twseg"), dir.join("a_pid1_00000000_000001.twseg.open")];
    for path in &paths {
        drop(place::write(path, data));
        bounded(memory(data.len()), || {
            let outcome = check(from_ref(path), &[], BOTH);
            6 * (data.len() as u64 + decoded + outcome.written)
        });
    }
    true
}

/// The ring folders of dead and living processes.
pub fn ring(data: &[u8]) -> bool {
    scene(&scene::parse(data), false)
}

/// A whole trace directory: segments and ring folders together.
pub fn trace(data: &[u8]) -> bool {
    scene(&scene::parse(data), true)
}

fn scene(items: &[Item], with_segments: bool) -> bool {
    let segments = items.iter().filter(|i| matches!(i.kind, scene::SEGMENT | scene::OPEN_SEGMENT));
    let decoded: u64 = segments.map(|i| decoded_len(&i.bytes)).sum();
    if decoded > MOST_DECODED {
        return false;
    }
    let written = scene::write(items, with_segments);
    let rings = from_ref(&written.rings);
    let paths = if with_segments { from_ref(&written.base) } else { rings };
    bounded(memory(written.bytes as usize), || {
        let outcome = check(paths, rings, BOTH);
        // A ring is read in windows of a MiB each, twice.
        let windows =
            items.iter().filter(|i| matches!(i.kind, scene::RING | scene::RING_FILE)).count() as u64;
        6 * (written.bytes + decoded + outcome.written + (windows << 20))
    });
    true
}
