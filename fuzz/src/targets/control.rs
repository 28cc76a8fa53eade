use tracewell_schema::format::control::{
    self, AttachSlot, ControlPage, MAX_OPT_INS, MAX_REDUCTIONS, PAGE_LEN, Verdict,
};

use crate::bounds::{CODEC_MEMORY, bounded};
use crate::checksums::fix_control;

/// The control page, as a component and a command see it.
pub fn control(data: &[u8]) -> bool {
    bounded(CODEC_MEMORY, || {
        let slots = data.get(control::SLOTS..).unwrap_or_default().chunks(control::SLOT_LEN);
        for slot in slots.flat_map(AttachSlot::decode) {
            assert!(slot.component.len() <= 32);
        }
        let Ok(page) = ControlPage::decode(data) else { return data.len() as u64 };
        assert!(page.opt_ins.len() <= MAX_OPT_INS && page.reductions.len() <= MAX_REDUCTIONS);
        assert_eq!(page.generation % 2, 0);
        let bytes = page.encode();
        assert_eq!(ControlPage::decode(&bytes).as_ref(), Ok(&page));
        let is_zero = data[..PAGE_LEN].iter().all(|b| *b == 0);
        let mut fixed = data[..PAGE_LEN].to_vec();
        fix_control(&mut fixed);
        assert!(is_zero || fixed == data[..PAGE_LEN], "a page with a wrong checksum is not taken");
        // Off is what it says in every case of doubt.
        let other = page.boot_id.map(|b| !b);
        assert_ne!(page.verdict(&other, 0), Verdict::On);
        assert!(
            page.expires_boottime == 0 || page.verdict(&page.boot_id, page.expires_boottime) != Verdict::On
        );
        assert!(page.expires_boottime == 0 || page.verdict(&page.boot_id, u64::MAX) != Verdict::On);
        assert!(!is_zero || page.verdict(&page.boot_id, 0) == Verdict::Off);
        assert_eq!(page.verdict(&page.boot_id, 0) == Verdict::Off, page.levels == [0; 32]);
        data.len() as u64
    });
    true
}
