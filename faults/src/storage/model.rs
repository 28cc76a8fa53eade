//! A disk that loses, reorders and tears what was not synced.
//!
//! * Bytes: of each sector of 512 bytes any state that it had since the last sync that worked is on the disk, or zeros,
//!   or (rarely) what was there before the file was.
//! * Length: any between those that the file had since then.
//! * Names: made, changed or removed ones are there or not, each by itself, until their directory is synced.
//! * After a sync that failed, what it was to cover may be gone for good, whatever later syncs say; but for the names of
//!   directories, which a later sync covers.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracewell_schema::format::crc;

use super::record::Op;
use crate::random::Random;

const SECTOR: usize = 512;

/// A name's other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug)]
enum NameOp {
    Add(PathBuf, Node),
    Move(PathBuf, PathBuf, Node),
    Exchange(PathBuf, PathBuf, Node, Node),
    Remove(PathBuf),
}

#[derive(Clone, Debug)]
struct Pending<T> {
    at: usize,
    /// A sync that should have covered it has failed.
    suspect: bool,
    op: T,
}

#[derive(Clone, Debug, Default)]
struct FileModel {
    durable: Arc<Vec<u8>>,
    version: u64,
    pending: Vec<Pending<DataOp>>,
    /// The content after the first so many pending operations; the first is what is durable.
    images: Vec<Arc<Vec<u8>>>,
}

#[derive(Clone, Debug)]
enum DataOp {
    Write(usize, Arc<Vec<u8>>),
    Truncate(usize),
}

fn apply(content: &mut Vec<u8>, op: &DataOp) {
    match op {
        DataOp::Write(at, bytes) => {
            let end = at + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*at..end].copy_from_slice(bytes);
        }
        DataOp::Truncate(len) => content.resize(*len, 0),
    }
}

impl FileModel {
    fn add(&mut self, at: usize, op: DataOp) {
        self.pending.push(Pending { at, suspect: false, op });
        self.draw();
    }

    fn sync(&mut self, begun: usize, worked: bool) {
        if worked {
            let durable = Arc::make_mut(&mut self.durable);
            self.pending.retain(|pending| {
                let done = pending.at < begun && !pending.suspect;
                if done {
                    apply(durable, &pending.op);
                }
                !done
            });
            self.version += 1;
        } else {
            self.pending.iter_mut().filter(|p| p.at < begun).for_each(|p| p.suspect = true);
        }
        self.draw();
    }

    fn draw(&mut self) {
        self.images = vec![Arc::clone(&self.durable)];
        let mut content = (*self.durable).clone();
        for pending in &self.pending {
            apply(&mut content, &pending.op);
            self.images.push(Arc::new(content.clone()));
        }
    }

    fn latest(&self) -> &Arc<Vec<u8>> {
        self.images.last().unwrap_or(&self.durable)
    }
}

/// What a file of a state holds, and a number that is the same only for the same bytes.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) mark: (usize, u64, u64),
}

/// What is on the disk after a crash: names to directories (`None`) and files.
pub(crate) type State = BTreeMap<PathBuf, Option<Content>>;

/// How a crash is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Everything that was not synced is gone.
    Least,
    /// Everything is there: only the process died.
    Most,
    /// Chance.
    Any,
}

/// The disk as operations come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: Vec<FileModel>,
    /// What the running system sees.
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Pending<NameOp>>,
    /// Files that had a name once.
    named: HashSet<usize>,
}

impl Disk {
    /// Takes the `at`-th operation.
    pub(crate) fn take(&mut self, at: usize, op: &Op) -> Result<(), String> {
        match op {
            Op::Mkdir(path) => self.name(at, NameOp::Add(path.clone(), Node::Dir)),
            Op::Create(path, file) => {
                self.files.resize_with(self.files.len().max(file + 1), FileModel::default);
                self.files[*file].draw();
                self.named.insert(*file);
                self.name(at, NameOp::Add(path.clone(), Node::File(*file)));
            }
            Op::Write { file, at: offset, bytes } => {
                self.files[*file].add(at, DataOp::Write(*offset as usize, Arc::new(bytes.clone())));
            }
            Op::Truncate { file, len } => self.files[*file].add(at, DataOp::Truncate(*len as usize)),
            Op::Sync { file, begun, worked } => self.files[*file].sync(*begun, *worked),
            Op::SyncDir { dir, begun, worked } => self.sync_dir(dir, *begun, *worked),
            Op::Rename { from, to, exchange } => {
                let node = |path: &PathBuf| self.names.get(path).copied();
                let moved = node(from).ok_or("a name that is not there is changed")?;
                if from.parent() != to.parent() {
                    return Err("a name moves to another directory, which is not modelled".into());
                }
                let op = if *exchange {
                    let other = node(to).ok_or("a name that is not there is exchanged")?;
                    NameOp::Exchange(from.clone(), to.clone(), moved, other)
                } else {
                    NameOp::Move(from.clone(), to.clone(), moved)
                };
                self.name(at, op);
            }
            Op::Unlink(path) => self.name(at, NameOp::Remove(path.clone())),
            Op::Emit(_) | Op::Flushed(..) | Op::End => {}
        }
        Ok(())
    }

    fn name(&mut self, at: usize, op: NameOp) {
        apply_name(&mut self.names, &op);
        self.pending.push(Pending { at, suspect: false, op });
    }

    fn sync_dir(&mut self, dir: &Path, begun: usize, worked: bool) {
        let durable = &mut self.durable;
        self.pending.retain_mut(|pending| {
            let path = match &pending.op {
                NameOp::Add(path, _) | NameOp::Remove(path) => path,
                NameOp::Move(path, ..) | NameOp::Exchange(path, ..) => path,
            };
            let is_meant = pending.at < begun && path.parent() == Some(dir);
            // What the kernel forgets are the blocks of a file system without a journal. Of those that have one the log fails,
            // and all of it with that. The engine makes a new file then; a directory there is only one of.
            let is_file = !matches!(&pending.op, NameOp::Add(_, Node::Dir));
            if is_meant && !worked && is_file {
                pending.suspect = true;
            }
            let done = is_meant && worked && !pending.suspect;
            if done {
                apply_name(durable, &pending.op);
            }
            !done
        });
    }

    /// Files that have lost their last name.
    pub(crate) fn gone(&self) -> Vec<usize> {
        let living: HashSet<usize> = self
            .names
            .values()
            .filter_map(|node| if let Node::File(file) = node { Some(*file) } else { None })
            .collect();
        self.named.iter().filter(|file| !living.contains(file)).copied().collect()
    }

    /// Name and content of every file, as the running system sees them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, usize, &Arc<Vec<u8>>)> {
        self.names.iter().filter_map(|(path, node)| match node {
            Node::File(file) => Some((path, *file, self.files[*file].latest())),
            Node::Dir => None,
        })
    }

    /// A disk after a crash now; only what lies below `top`.
    pub(crate) fn crash(&self, top: &Path, draw: Draw, random: &mut Random) -> State {
        let mut names = self.durable.clone();
        // How likely a pending name is there: sometimes all, sometimes none.
        let share = random.below(5);
        for pending in &self.pending {
            let keeps = match draw {
                Draw::Least => false,
                Draw::Most => true,
                Draw::Any => random.below(4) < share,
            };
            if keeps {
                apply_name(&mut names, &pending.op);
            }
        }
        let has_way = |path: &Path| {
            path.ancestors()
                .skip(1)
                .filter(|above| !above.as_os_str().is_empty())
                .all(|above| names.get(above) == Some(&Node::Dir))
        };
        names
            .iter()
            .filter(|(path, _)| path.starts_with(top) && has_way(path))
            .map(|(path, node)| {
                let content = match node {
                    Node::Dir => None,
                    Node::File(file) => Some(self.content(*file, draw, random)),
                };
                (path.clone(), content)
            })
            .collect()
    }

    fn content(&self, number: usize, draw: Draw, random: &mut Random) -> Content {
        let file = &self.files[number];
        let count = file.pending.len();
        let fixed = |bytes: &Arc<Vec<u8>>, what: u64| Content {
            bytes: Arc::clone(bytes),
            mark: (number, file.version, what),
        };
        if count == 0 || draw == Draw::Least {
            return fixed(&file.durable, 0);
        }
        if draw == Draw::Most {
            return fixed(file.latest(), count as u64);
        }
        let style = random.below(8);
        if style == 0 {
            return fixed(&file.durable, 0);
        }
        if style == 1 {
            return fixed(file.latest(), count as u64);
        }
        if style == 2 {
            let images = random.below(count as u64 + 1);
            return fixed(&file.images[images as usize], images);
        }
        // The length is one that it had, or one between.
        let lens = file.images.iter().map(|image| image.len());
        let (least, most) = (lens.clone().min().unwrap_or(0), lens.max().unwrap_or(0));
        let len = match random.below(4) {
            0 | 1 => file.latest().len(),
            2 => file.images[random.below(count as u64 + 1) as usize].len(),
            _ => {
                let any = least + random.below((most - least) as u64 + 1) as usize;
                if random.below(2) == 0 { any } else { (any & !(SECTOR - 1)).max(least) }
            }
        };
        let mut bytes = vec![0; len];
        // How likely a sector has its last state; and sometimes what is not written is not zero.
        let share = random.below(9);
        let is_stale = random.below(16) == 0;
        for from in (0..len).step_by(SECTOR) {
            let to = (from + SECTOR).min(len);
            let image = if random.below(8) < share { count } else { random.below(count as u64 + 1) as usize };
            let image = &file.images[image];
            let there = image.len().clamp(from, to);
            if let Some(kept) = image.get(from..there) {
                bytes[from..there].copy_from_slice(kept);
            }
            if is_stale && there < to && from >= file.durable.len() {
                bytes[there..to].fill_with(|| random.next() as u8);
            }
        }
        let mark = (number, u64::MAX, u64::from(crc(&bytes)) << 32 | len as u64);
        Content { bytes: Arc::new(bytes), mark }
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, Node>, op: &NameOp) {
    match op {
        NameOp::Add(path, node) => drop(names.insert(path.clone(), *node)),
        NameOp::Remove(path) => drop(names.remove(path)),
        NameOp::Move(from, to, node) => {
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
        NameOp::Exchange(from, to, moved, other) => {
            names.insert(to.clone(), *moved);
            names.insert(from.clone(), *other);
        }
    }
}
