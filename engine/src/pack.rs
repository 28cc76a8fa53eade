//! Packing: compresses later what was stored in haste, in sealed segments of this or an earlier session.
//!
//! The packed segment is written beside the other, synced, and put in its place in one step, so that at every moment
//! the name leads to a whole segment with the same records. Blocks are copied as they are but for their compression:
//! nothing is decoded.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, RenameFlags, Timespec, Timestamps};
use tracewell_schema::format::block::{
    self, BlockHeader, BlockKind, Codec, FLAG_HASTY, compress_block, compress_columns,
};
use tracewell_schema::format::crc;
use tracewell_schema::format::segment::{self, PACKING_SUFFIX, parse_file_name};

use crate::dirs::is_session_name;
use crate::fs;

/// Most segments that one session remembers; what it forgets, a later session finds.
pub(crate) const MOST: usize = 1024;

/// A sealed segment. Without a descriptor: many may wait, and for long.
pub(crate) struct Candidate {
    /// Folder of its session.
    pub(crate) folder: Arc<Path>,
    pub(crate) name: String,
}

impl Candidate {
    fn open_folder(&self) -> io::Result<OwnedFd> {
        let (Some(top), Some(session)) =
            (self.folder.parent(), self.folder.file_name().and_then(|n| n.to_str()))
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        fs::open_private_dir_at(&fs::open_private_dir(top)?, session)
    }
}

/// Segments of all sessions that were stored in haste, or those that were found until `must_stop` said so; removes what a
/// killed packer left.
pub(crate) fn find(sessions: &Path, must_stop: &mut dyn FnMut() -> bool) -> Vec<Candidate> {
    let mut found = Vec::new();
    let Ok(top) = fs::open_private_dir(sessions) else { return found };
    let mut names = fs::names_in(&top).unwrap_or_default();
    names.retain(|name| is_session_name(name));
    names.sort();
    for session in names {
        let Ok(folder) = fs::open_private_dir_at(&top, &session) else { continue };
        let path = Arc::<Path>::from(sessions.join(&session));
        for name in fs::names_in(&folder).unwrap_or_default() {
            if let Some(packed) = name.strip_suffix(PACKING_SUFFIX).filter(|n| parse_file_name(n).is_some()) {
                remove_if_left(&folder, packed, &name);
            }
            if must_stop() {
                return found;
            }
            if found.len() >= MOST || parse_file_name(&name).is_none_or(|parsed| parsed.is_open) {
                continue;
            }
            if ends_in_haste(&folder, &name) {
                found.push(Candidate { folder: Arc::clone(&path), name });
            }
        }
    }
    found
}

/// The right to pack a segment, and to remove what a killed packer left of it, until the file is closed. Several
/// tenders find the same segments: those of the components, and those of the sessions of one component.
fn take(folder: &OwnedFd, name: &str) -> io::Result<File> {
    let file = fs::open_existing(folder, name, true)?;
    if fs::try_lock_ofd(&file)? {
        let named = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let held = rustix::fs::fstat(&file)?;
        // Another may have put the packed one in its place before we had the lock.
        if (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino) {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

fn remove_if_left(folder: &OwnedFd, name: &str, temporary: &str) {
    match take(folder, name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {}
        // Nobody packs what is not there.
        _taken => drop(fs::unlink_at(folder, temporary)),
    }
}

/// Whether the end block says that some block was stored in haste.
pub(crate) fn is_hasty(candidate: &Candidate) -> bool {
    candidate.open_folder().is_ok_and(|folder| ends_in_haste(&folder, &candidate.name))
}

fn ends_in_haste(folder: &OwnedFd, name: &str) -> bool {
    let look = || -> io::Result<bool> {
        let file = fs::open_existing(folder, name, false)?;
        let mut end = [0; block::HEADER_LEN];
        let at = file.metadata()?.len().checked_sub(end.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        file.read_exact_at(&mut end, at)?;
        let end = BlockHeader::decode(&end).map_err(io::Error::other)?;
        Ok(end.kind == BlockKind::End && end.flags & FLAG_HASTY != 0)
    };
    look().unwrap_or(false)
}

/// Compresses a segment, unless `must_stop` says so meanwhile.
///
/// # Errors
/// If the segment is damaged or the new one cannot be written: then the old one stays.
pub(crate) fn pack(candidate: &Candidate, must_stop: &mut dyn FnMut() -> bool) -> io::Result<()> {
    let (folder, name) = (&candidate.open_folder()?, &candidate.name);
    let old = take(folder, name)?;
    let temporary = format!("{name}{PACKING_SUFFIX}");
    // Who has the right to pack is the only one to make or remove this file.
    let _ = fs::unlink_at(folder, &temporary);
    let new = fs::create_new(folder, &temporary)?;
    // It has the segment's name before the other one's is removed: nobody may begin with it until then.
    let placed = fs::try_lock_ofd(&new)
        .and_then(|_| copy(&old, &new, must_stop))
        .and_then(|()| keep_times(&old, &new))
        .and_then(|()| new.sync_data())
        // Fails if the segment was deleted meanwhile, so that it does not come back.
        .and_then(|()| {
            Ok(rustix::fs::renameat_with(folder, &*temporary, folder, &**name, RenameFlags::EXCHANGE)?)
        });
    let _ = fs::unlink_at(folder, &temporary);
    placed?;
    fs::sync_dir(folder)
}

/// Retention goes by the time of the last change.
fn keep_times(old: &File, new: &File) -> io::Result<()> {
    let stat = rustix::fs::fstat(old)?;
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    };
    Ok(rustix::fs::futimens(new, &times)?)
}

fn copy(mut old: &File, new: &File, must_stop: &mut dyn FnMut() -> bool) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, new);
    let mut head = [0; segment::HEADER_LEN];
    old.read_exact(&mut head)?;
    out.write_all(&head)?;
    let (mut stored, mut packed) = (Vec::new(), Vec::new());
    loop {
        if must_stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut bytes = [0; block::HEADER_LEN];
        old.read_exact(&mut bytes)?;
        let mut header = BlockHeader::decode(&bytes).map_err(io::Error::other)?;
        // `decode` has checked the length against the format's limit.
        stored.resize(header.padded_len() as usize, 0);
        old.read_exact(&mut stored)?;
        stored.truncate(header.stored_len as usize);
        if crc(&stored) != header.payload_crc {
            return Err(io::Error::other("a block is damaged"));
        }
        if header.flags & FLAG_HASTY != 0 {
            header.flags &= !FLAG_HASTY;
            let codec = match header.codec {
                Codec::Raw => compress_block(&stored, &mut packed),
                Codec::Columns => compress_columns(&stored, &mut packed),
                other => other,
            };
            if codec != header.codec {
                header.codec = codec;
                std::mem::swap(&mut stored, &mut packed);
                header.stored_len = u32::try_from(stored.len()).map_err(io::Error::other)?;
                header.payload_crc = crc(&stored);
            }
        }
        out.write_all(&header.encode())?;
        stored.resize(header.padded_len() as usize, 0);
        out.write_all(&stored)?;
        if header.kind == BlockKind::End {
            return out.flush();
        }
    }
}

#[cfg(test)]
mod tests;
