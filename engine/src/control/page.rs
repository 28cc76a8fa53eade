//! The page as a whole: read it checked, change it so that nobody reads half of it.

use std::io;
use std::sync::atomic::Ordering;

use tracewell_schema::format::control::{self as layout, ControlPage, NamedReduction, Verdict, name_hash};

use super::Control;
use super::lock::ChangeLock;
use super::types::{ControlStatus, EnableRequest, SessionInfo, Why};
use super::{roots, sequence};
use crate::dirs::Dirs;
use crate::{boot, fs, uuid};

/// Tries of a reader that meets a change; a change takes microseconds.
const TRIES: usize = 100;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl Control {
    /// The page as a whole, checked: valid now, in this boot, not expired, something enabled.
    ///
    /// # Errors
    /// Why it means off.
    pub fn snapshot(&self) -> Result<ControlPage, Why> {
        let page = self.read()?;
        match page.verdict(&boot::boot_id(), boot::boottime_ns()) {
            Verdict::On => Ok(page),
            Verdict::Off => Err(Why::Off),
            Verdict::Expired => Err(Why::Expired),
            Verdict::OtherBoot => Err(Why::OtherBoot),
        }
    }

    /// The page as a whole, whatever it means.
    ///
    /// # Errors
    /// If it is damaged or being changed.
    pub fn read(&self) -> Result<ControlPage, Why> {
        for _ in 0..TRIES {
            let generation = self.word(layout::GENERATION);
            if let Some(bytes) = sequence::read(generation, || self.copy(0, layout::PAGE_LEN)) {
                return ControlPage::decode(&bytes).map_err(|_| Why::Damaged);
            }
            std::hint::spin_loop();
        }
        Err(Why::Changing)
    }

    /// What is on, until when, which components are attached, and after them the processes that only map the page.
    #[must_use]
    pub fn status(&self) -> ControlStatus {
        let why = self.snapshot().err();
        let page = self.read().unwrap_or_default();
        let is_set = page.is_enabled();
        let mut attached = self.attached();
        attached.extend(self.mapped_without_slot());
        ControlStatus {
            enabled: why.is_none(),
            why,
            levels: page.levels,
            since: Some(page.enabled_at).filter(|_| is_set),
            expires: Some(page.expires_at).filter(|t| is_set && *t != 0),
            session: Some(page.session_id).filter(|_| is_set),
            generation: page.generation,
            attached,
        }
    }

    /// Whether an opt-in event or field was enabled by name.
    #[must_use]
    pub fn opted_in(&self, name: &str) -> bool {
        self.snapshot().is_ok_and(|page| page.opt_ins.contains(&name_hash(name)))
    }

    /// Whether the page may be written: ours, or new. Damage behind the first bytes is repaired by writing.
    fn check_writable(&self) -> io::Result<()> {
        self.check_not_read_only()?;
        if !self.may_store() {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "the file system takes no change of the control page (full, or read-only after an error: see `dmesg`); until it \
                 does, tracing stays as it is",
            ));
        }
        let start = self.copy(0, layout::GENERATION);
        if start.iter().all(|b| *b == 0) {
            return Ok(());
        }
        let problem = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if !start.starts_with(&layout::MAGIC) {
            return problem("the file is not a control page; move it away, and tracing is off");
        }
        if start.get(8..10) != Some(1_u16.to_le_bytes().as_slice()) {
            return problem(
                "the control page is of another version; use the newest `tracewell`, or remove the file",
            );
        }
        Ok(())
    }

    fn check_not_read_only(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }

    /// Writes a page. The caller holds the lock, which the parameter shows.
    fn publish(&self, _lock: &ChangeLock, mut page: ControlPage) {
        sequence::change(self.word(layout::GENERATION), |generation| {
            // Levels first to zero: from here on components emit nothing under rules that are half changed.
            for i in 0..layout::CATEGORIES {
                self.byte(layout::LEVELS + i).store(0, Ordering::Relaxed);
            }
            page.generation = generation;
            let bytes = page.encode();
            let skip = layout::GENERATION..layout::BODY;
            for (i, byte) in bytes.iter().enumerate().filter(|(i, _)| !skip.contains(i)) {
                self.byte(i).store(*byte, Ordering::Relaxed);
            }
            // The levels are part of the checksum, so they are stored before the even generation says that the page
            // is whole; a component that sees one reads the page before it makes a ring. Release: after the body.
            for (i, level) in page.levels.iter().enumerate() {
                self.byte(layout::LEVELS + i).store(*level, Ordering::Release);
            }
        });
    }

    /// Begins a session: new id, new key, new folder. Running components begin to record within milliseconds.
    ///
    /// # Errors
    /// If nothing is to be enabled or too much named, the session's folder cannot be made, the file is not a control
    /// page of this version, or another command holds the lock. Then nothing has changed.
    pub fn enable(&self, dirs: &Dirs, request: &EnableRequest) -> io::Result<SessionInfo> {
        if request.levels.iter().all(|level| *level == 0) {
            return Err(invalid("every category is off: give at least one a level, or use disable"));
        }
        if request.levels.iter().any(|level| *level > 5) {
            return Err(invalid("levels are 0 to 5"));
        }
        if request.opt_in.len() > layout::MAX_OPT_INS || request.reduce.len() > layout::MAX_REDUCTIONS {
            return Err(invalid("at most 64 opt-ins and 128 reductions can be in effect"));
        }
        self.check_not_read_only()?;
        let lock = ChangeLock::take(&self.folder)?;
        self.check_writable()?;
        let now = boot::realtime_ns();
        let session_id = uuid::random();
        let lasts =
            request.duration.map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4));
        let folder = dirs.session_folder(now, &session_id);
        let page = ControlPage {
            generation: 0,
            levels: request.levels,
            boot_id: boot::boot_id(),
            session_id,
            enabled_at: now,
            // Not 0, which is never, whatever the clock says.
            expires_boottime: lasts.map_or(0, |d| boot::boottime_ns().saturating_add(d).max(1)),
            expires_at: lasts.map_or(0, |d| now.saturating_add_unsigned(d)),
            key: uuid::random_key()?,
            max_total: request.max_total,
            segment_bytes: request.segment_bytes,
            segment_age: request.segment_age.as_secs(),
            max_age: request.max_age.as_secs(),
            opt_ins: request.opt_in.iter().map(|name| name_hash(name)).collect(),
            reductions: request
                .reduce
                .iter()
                .map(|(name, reduction)| NamedReduction { name: name_hash(name), reduction: *reduction })
                .collect(),
        };
        fs::create_private_dir_all(&folder)?;
        // Telling only; and with a file that is there, a component adds its own also on a full disk.
        let _ = roots::add(&self.folder, &lock, dirs.ring_root());
        let expires_at = Some(page.expires_at).filter(|t| *t != 0);
        self.publish(&lock, page);
        Ok(SessionInfo { id: session_id, folder, expires_at })
    }

    /// Switches everything off, and forgets the session's key.
    ///
    /// # Errors
    /// If the file is not a control page of this version, or another command holds the lock.
    pub fn disable(&self) -> io::Result<()> {
        self.check_not_read_only()?;
        let lock = ChangeLock::take(&self.folder)?;
        self.check_writable()?;
        self.publish(&lock, ControlPage::default());
        Ok(())
    }

    /// Switches off what has expired, is of another boot, or was left half changed by a command that was killed; any
    /// component may. True if it did. Never waits: whoever has the lock is changing the page anyway.
    pub fn expire_if_due(&self) -> bool {
        self.tell_seen();
        let is_due = || matches!(self.snapshot(), Err(Why::Expired | Why::OtherBoot | Why::Changing));
        if !self.writable || !is_due() {
            return false;
        }
        let Ok(Some(lock)) = ChangeLock::try_take(&self.folder) else { return false };
        // Again, now that nobody changes it: another session may have begun meanwhile.
        if !is_due() || self.check_writable().is_err() {
            return false;
        }
        self.publish(&lock, ControlPage::default());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::tests::control;
    use super::*;

    #[test]
    fn off_by_default_on_by_request_off_again() {
        let (_dir, dirs, control) = control();
        assert_eq!(control.snapshot(), Err(Why::Off));
        assert!(!control.status().enabled && control.status().session.is_none());
        let session = control.enable(&dirs, &EnableRequest::default()).unwrap();
        assert!(session.folder.is_dir());
        let page = control.snapshot().unwrap();
        assert_eq!((page.session_id, page.levels), (session.id, [3; 32]));
        assert_eq!(control.level(7), 3);
        let other = Control::open(&dirs).unwrap().unwrap();
        assert_eq!(other.snapshot().unwrap(), page);
        let status = other.status();
        assert_eq!((status.enabled, status.why, status.session), (true, None, Some(session.id)));
        assert_eq!((status.since, status.expires), (Some(page.enabled_at), None));
        control.disable().unwrap();
        assert_eq!(other.snapshot(), Err(Why::Off));
        assert_eq!(other.read().unwrap().key, [0; 32], "the key is gone");
        assert_eq!(control.level(7), 0);
    }

    #[test]
    fn each_session_has_a_key_an_id_and_a_generation_of_its_own() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        let first = control.snapshot().unwrap();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        let second = control.snapshot().unwrap();
        assert_ne!((first.session_id, first.key), (second.session_id, second.key));
        assert_eq!((first.generation, second.generation), (2, 4));
    }

    #[test]
    fn what_cannot_be_enabled_changes_nothing() {
        let (_dir, dirs, control) = control();
        let names = (0..65).map(|i| format!("a.b{i}")).collect();
        for request in [
            EnableRequest { levels: [0; 32], ..EnableRequest::default() },
            EnableRequest { levels: [6; 32], ..EnableRequest::default() },
            EnableRequest { opt_in: names, ..EnableRequest::default() },
        ] {
            assert_eq!(control.enable(&dirs, &request).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(control.snapshot(), Err(Why::Off));
        assert!(!dirs.sessions().exists());
    }

    #[test]
    fn every_flipped_bit_of_the_page_means_off_or_changes_nothing() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        let page = control.snapshot().unwrap();
        for bit in 0..layout::PAGE_LEN * 8 {
            control.byte(bit / 8).fetch_xor(1 << (bit % 8), Ordering::Relaxed);
            match control.snapshot() {
                Ok(read) => {
                    assert_eq!(ControlPage { generation: page.generation, ..read }, page, "bit {bit}")
                }
                Err(why) => assert!(matches!(why, Why::Damaged | Why::Changing), "bit {bit}: {why}"),
            }
            control.byte(bit / 8).fetch_xor(1 << (bit % 8), Ordering::Relaxed);
        }
    }

    #[test]
    fn damage_is_repaired_but_nothing_foreign_is_overwritten() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        control.byte(500).fetch_xor(1, Ordering::Relaxed);
        assert_eq!(control.snapshot(), Err(Why::Damaged));
        assert!(!control.expire_if_due());
        control.disable().unwrap();
        assert_eq!(control.snapshot(), Err(Why::Off));
        control.byte(8).store(2, Ordering::Relaxed);
        assert_eq!(control.snapshot(), Err(Why::Damaged));
        assert!(control.disable().unwrap_err().to_string().contains("another version"));
        control.byte(0).store(b'#', Ordering::Relaxed);
        assert!(
            control
                .enable(&dirs, &EnableRequest::default())
                .unwrap_err()
                .to_string()
                .contains("move it away")
        );
        assert_eq!(control.copy(0, 2), b"#W");
    }

    #[test]
    fn it_ends_by_itself() {
        let (_dir, dirs, control) = control();
        let request = EnableRequest { duration: Some(Duration::from_millis(50)), ..EnableRequest::default() };
        let session = control.enable(&dirs, &request).unwrap();
        assert!(control.snapshot().is_ok() && !control.expire_if_due());
        assert_eq!(control.status().expires, session.expires_at);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(control.snapshot(), Err(Why::Expired));
        assert_eq!(control.status().why, Some(Why::Expired));
        assert!(control.expire_if_due());
        assert_eq!(control.snapshot(), Err(Why::Off));
        assert!(!control.expire_if_due());
    }

    #[test]
    fn a_page_of_another_boot_is_off() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        let page = ControlPage { boot_id: [7; 16], ..control.snapshot().unwrap() };
        control.publish(&ChangeLock::take(&control.folder).unwrap(), page);
        assert_eq!(control.snapshot(), Err(Why::OtherBoot));
        assert!(control.expire_if_due());
        assert_eq!(control.level(1), 0);
    }

    #[test]
    fn what_a_killed_writer_left_is_switched_off() {
        let (_dir, dirs, control) = control();
        control.enable(&dirs, &EnableRequest::default()).unwrap();
        control.word(layout::GENERATION).fetch_add(1, Ordering::Relaxed);
        assert_eq!(control.snapshot(), Err(Why::Changing));
        // While someone holds the lock, it is a change under way.
        let lock = ChangeLock::take(&control.folder).unwrap();
        assert!(!control.expire_if_due());
        drop(lock);
        assert!(control.expire_if_due());
        assert_eq!((control.snapshot(), control.level(1)), (Err(Why::Off), 0));
        assert!(control.enable(&dirs, &EnableRequest::default()).is_ok());
    }

    #[test]
    fn one_changes_it_at_a_time() {
        let (_dir, dirs, control) = control();
        let lock = ChangeLock::take(&control.folder).unwrap();
        let begin = Instant::now();
        let error = control.enable(&dirs, &EnableRequest::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((2..10).contains(&begin.elapsed().as_secs()));
        drop(lock);
        control.enable(&dirs, &EnableRequest::default()).unwrap();
    }

    #[test]
    fn a_reader_never_sees_half_of_a_change() {
        let (_dir, dirs, control) = control();
        let reader = Control::open(&dirs).unwrap().unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for level in (1..=5).cycle().take(300) {
                    let limit = u64::from(level);
                    let lock = ChangeLock::take(&control.folder).unwrap();
                    let page = ControlPage {
                        levels: [level; 32],
                        boot_id: boot::boot_id(),
                        max_total: limit,
                        max_age: limit,
                        ..ControlPage::default()
                    };
                    control.publish(&lock, page);
                }
            });
            while !writer.is_finished() {
                match reader.read() {
                    Ok(page) => {
                        let level = page.levels[0];
                        assert!(page.levels == [level; 32] && page.max_total == u64::from(level));
                        assert_eq!(page.max_age, u64::from(level));
                    }
                    Err(why) => assert!(why.is_transient(), "{why}"),
                }
            }
        });
    }
}
