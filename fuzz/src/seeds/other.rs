//! Seeds of the targets that do not read files of a trace, or make them themselves.

use tracewell_schema::Reduction;
use tracewell_schema::format::control::{ControlPage, FILE_LEN, NamedReduction};

use super::Seed;
use crate::random::Random;

fn seed(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    Seed { target, name: name.to_owned(), bytes, verdict: None }
}

fn page() -> ControlPage {
    ControlPage {
        generation: 6,
        levels: [3; 32],
        boot_id: [1; 16],
        session_id: [2; 16],
        enabled_at: 5,
        expires_boottime: 1 << 40,
        expires_at: 1 << 60,
        key: [7; 32],
        max_total: 1 << 30,
        segment_bytes: 16 << 20,
        segment_age: 3600,
        max_age: 86_400,
        opt_ins: vec![1, 2],
        reductions: vec![NamedReduction { name: 9, reduction: Reduction::Prefix { n: 24, m: 48 } }],
    }
}

pub(super) fn seeds() -> Vec<Seed> {
    let whole = page().encode();
    let mut file = whole.clone();
    file.resize(FILE_LEN, 0);
    file[4096] = 1;
    file[4112..4119].copy_from_slice(b"scanner");
    let page_of = |change: &dyn Fn(&mut ControlPage)| {
        let mut page = page();
        change(&mut page);
        page.encode()
    };
    let mut all = vec![
        seed("control", "plain", whole.clone()),
        seed("control", "with-slots", file),
        seed("control", "zero", vec![0; 2748]),
        seed("control", "cut", whole[..2747].to_vec()),
        seed("control", "being-changed", page_of(&|p| p.generation = 7)),
        seed("control", "expired", page_of(&|p| p.expires_boottime = 1)),
        seed("control", "expiry-max", page_of(&|p| (p.expires_boottime, p.expires_at) = (u64::MAX, i64::MIN))),
        seed("control", "full", page_of(&|p| {
            p.opt_ins = vec![u64::MAX; 64];
            p.reductions = vec![p.reductions[0]; 128];
        })),
        seed("settings", "empty", Vec::new()),
        seed("settings", "plain", b"level = \"info\"\nonly = false\nduration = \"30m\"\nmax_size = \"1G\"\nsegment_size = \"16M\"\n\
            segment_age = \"1h\"\nmax_age = \"7d\"\nopt_in = [\"web.login\"]\n[categories]\nnetwork = \"debug\"\n\
            [reduce]\n\"network.connection.remote\" = \"prefix(24, 48)\"\n".to_vec()),
        seed("settings", "hostile-escape-in-key", b"[reduce]\n\"a.\\u001b]0;x\\u0007\\u202e\" = \"blur\"\n".to_vec()),
        seed("settings", "hostile-escape-in-value", b"level = \"\\u001b[2J\\u202e\\u3164\"\n".to_vec()),
        seed("settings", "hostile-raw-escape", b"level = \"\x1b[2J\"\n".to_vec()),
        seed("settings", "hostile-escape-in-unknown-key", b"\"\\u001b[31m\\u009b\" = 1\n".to_vec()),
        seed("settings", "hostile-deep", [&b"level = "[..], &b"[".repeat(3000)].concat()),
        seed("settings", "not-utf8", b"level = \"\xff\"".to_vec()),
        seed("settings", "size", b"512M".to_vec()),
        seed("settings", "duration", b"365d".to_vec()),
        seed("settings", "reduction", b"prefix(24, 48)".to_vec()),
        seed("settings", "level", b"trace".to_vec()),
        seed("settings", "category", b"certificate".to_vec()),
    ];
    // What the generators make of these bytes has all types and codecs in it; small ones for a quick beginning.
    for target in ["columns", "json", "merge", "text"] {
        for number in 0..12_u64 {
            let mut random = Random(number);
            let len = [60, 200, 700, 2000][number as usize % 4];
            let bytes = (0..len).map(|_| {
                // Small numbers choose hostile texts.
                let any = random.any();
                if any & 0x300 == 0 { (any % 24) as u8 } else { any as u8 }
            });
            all.push(seed(target, &format!("random-{number}"), bytes.collect()));
        }
    }
    all
}
