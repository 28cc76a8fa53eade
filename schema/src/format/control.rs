//! The control page: FORMAT.md section 6.

use crate::decode::Reader;
use crate::error::DecodeError;
use crate::event::Reduction;

/// First bytes of the control file.
pub const MAGIC: [u8; 8] = *b"TWCTRL\r\n";
/// Length of the control file.
pub const FILE_LEN: usize = 16_384;
/// Offset of the generation.
pub const GENERATION: usize = 16;
/// Offset of the levels.
pub const LEVELS: usize = GENERATION + 8;
/// Number of levels: one a category.
pub const CATEGORIES: usize = 32;
/// Offset of what follows the levels.
pub const BODY: usize = LEVELS + CATEGORIES;
/// Offset of the expiry in boot time.
pub const EXPIRES: usize = 96;
/// Most opt-ins.
pub const MAX_OPT_INS: usize = 64;
/// Most reductions.
pub const MAX_REDUCTIONS: usize = 128;
/// Offset of the opt-ins' count.
pub const COUNTS: usize = 176;
/// Offset of the opt-ins.
pub const OPT_INS: usize = 184;
const REDUCTIONS: usize = OPT_INS + MAX_OPT_INS * 8;
/// Offset of the checksum.
pub const CRC: usize = REDUCTIONS + MAX_REDUCTIONS * 16;
/// Length of what matters of the page.
pub const PAGE_LEN: usize = CRC + 4;
/// Offset of the attach slots.
pub const SLOTS: usize = 4096;
/// Length of an attach slot.
pub const SLOT_LEN: usize = 64;
/// Number of attach slots.
pub const SLOT_COUNT: usize = (FILE_LEN - SLOTS) / SLOT_LEN;

/// First bytes of the BLAKE3 of an event's or a field's full name.
#[must_use]
pub fn name_hash(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    hash.as_bytes().first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// A reduction that the user made stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedReduction {
    /// [`name_hash`] of "event.name.field".
    pub name: u64,
    /// The reduction.
    pub reduction: Reduction,
}

/// What the control page says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlPage {
    /// Number of the change; odd while a change is under way.
    pub generation: u64,
    /// Enabled level by category.
    pub levels: [u8; CATEGORIES],
    /// The boot that it is valid for.
    pub boot_id: [u8; 16],
    /// The session.
    pub session_id: [u8; 16],
    /// When it was enabled, UTC ns.
    pub enabled_at: i64,
    /// When it ends, boot time ns; 0 never.
    pub expires_boottime: u64,
    /// When it ends, UTC ns; 0 never.
    pub expires_at: i64,
    /// Key of the keyed hashes of this session.
    pub key: [u8; 32],
    /// Most bytes of all segments.
    pub max_total: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Age of one segment, s.
    pub segment_age: u64,
    /// Age of the oldest segment, s.
    pub max_age: u64,
    /// Hashes of the names of enabled opt-in events and fields.
    pub opt_ins: Vec<u64>,
    /// Reductions that the user made stricter.
    pub reductions: Vec<NamedReduction>,
}

/// Why a page means off, or that it means on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something is enabled.
    On,
    /// Nothing is enabled.
    Off,
    /// Its time is over.
    Expired,
    /// It is of another boot.
    OtherBoot,
}

impl ControlPage {
    /// Whether some category has a level.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.levels.iter().any(|l| *l != 0)
    }

    /// What it means in this boot at this boot time.
    #[must_use]
    pub fn verdict(&self, boot_id: &[u8; 16], boottime: u64) -> Verdict {
        if !self.is_enabled() {
            Verdict::Off
        } else if self.boot_id != *boot_id {
            Verdict::OtherBoot
        } else if self.expires_boottime != 0 && boottime >= self.expires_boottime {
            Verdict::Expired
        } else {
            Verdict::On
        }
    }

    /// The page's bytes, up to and with the checksum. At most [`MAX_OPT_INS`] and [`MAX_REDUCTIONS`] are written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAGE_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&(FILE_LEN as u32).to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.levels);
        out.extend_from_slice(&self.boot_id);
        out.extend_from_slice(&self.session_id);
        out.extend_from_slice(&self.enabled_at.to_le_bytes());
        out.extend_from_slice(&self.expires_boottime.to_le_bytes());
        out.extend_from_slice(&self.expires_at.to_le_bytes());
        out.extend_from_slice(&self.key);
        for word in [self.max_total, self.segment_bytes, self.segment_age, self.max_age] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let opt_ins = self.opt_ins.len().min(MAX_OPT_INS);
        let reductions = self.reductions.len().min(MAX_REDUCTIONS);
        out.extend_from_slice(&(opt_ins as u16).to_le_bytes());
        out.extend_from_slice(&(reductions as u16).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for hash in self.opt_ins.iter().take(opt_ins) {
            out.extend_from_slice(&hash.to_le_bytes());
        }
        out.resize(REDUCTIONS, 0);
        for entry in self.reductions.iter().take(reductions) {
            let (code, n, m) = entry.reduction.parts();
            out.extend_from_slice(&entry.name.to_le_bytes());
            out.extend_from_slice(&[code, 0]);
            for word in [n, m, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        out.resize(CRC, 0);
        out.extend_from_slice(&page_crc(&out).to_le_bytes());
        out
    }

    /// From the file's bytes. A page of zeros is off, without error.
    ///
    /// # Errors
    /// If it is short, of another version, being changed, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let page = bytes.get(..PAGE_LEN).ok_or(DecodeError::new(0, "control page is cut"))?;
        if page.iter().all(|b| *b == 0) {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(page);
        if reader.array::<8>()? != MAGIC {
            return Err(DecodeError::new(0, "not a control page"));
        }
        let major = reader.u16()?;
        reader.u16()?;
        if major != 1 || reader.u32()? as usize != FILE_LEN {
            return Err(DecodeError::new(8, "control page of another version"));
        }
        let generation = reader.u64()?;
        if generation % 2 != 0 {
            return Err(DecodeError::new(GENERATION, "control page is being changed"));
        }
        let stored = Reader::new(page.get(CRC..).unwrap_or_default()).u32()?;
        if stored != page_crc(page.get(..CRC).unwrap_or_default()) {
            return Err(DecodeError::new(CRC, "control page has a wrong checksum"));
        }
        let mut out = Self {
            generation,
            levels: reader.array()?,
            boot_id: reader.array()?,
            session_id: reader.array()?,
            enabled_at: reader.i64()?,
            expires_boottime: reader.u64()?,
            expires_at: reader.i64()?,
            key: reader.array()?,
            max_total: reader.u64()?,
            segment_bytes: reader.u64()?,
            segment_age: reader.u64()?,
            max_age: reader.u64()?,
            opt_ins: Vec::new(),
            reductions: Vec::new(),
        };
        let opt_ins = usize::from(reader.u16()?).min(MAX_OPT_INS);
        let reductions = usize::from(reader.u16()?).min(MAX_REDUCTIONS);
        reader.u32()?;
        for _ in 0..opt_ins {
            out.opt_ins.push(reader.u64()?);
        }
        let mut reader = Reader::new(page.get(REDUCTIONS..).unwrap_or_default());
        for _ in 0..reductions {
            let name = reader.u64()?;
            let code = reader.u8()?;
            reader.u8()?;
            let (n, m, _) = (reader.u16()?, reader.u16()?, reader.u16()?);
            let reduction = Reduction::from_code(code, n, m).ok_or(reader.error("unknown reduction"))?;
            out.reductions.push(NamedReduction { name, reduction });
        }
        Ok(out)
    }
}

/// CRC of everything up to the checksum but the generation, levels included.
fn page_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..GENERATION).unwrap_or_default());
    hasher.update(bytes.get(LEVELS..CRC).unwrap_or_default());
    hasher.finalize()
}

/// One attached component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachSlot {
    /// Process id; 0 if the slot is free.
    pub pid: u32,
    /// 1 attached, 2 emitting, 3 ring failed, 4 emitting, but its segments cannot be written.
    pub state: u32,
    /// Start of the process, clock ticks since boot.
    pub start_ticks: u64,
    /// Component name.
    pub component: String,
    /// Error number of the failure.
    pub errno: u32,
    /// Generation of the page that it saw last.
    pub generation: u64,
}

impl AttachSlot {
    /// From a slot's bytes.
    ///
    /// # Errors
    /// If they are cut or the name is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            pid: reader.u32()?,
            state: reader.u32()?,
            start_ticks: reader.u64()?,
            component: reader.padded(32)?.to_owned(),
            errno: reader.u32()?,
            generation: {
                reader.u32()?;
                reader.u64()?
            },
        })
    }
}
