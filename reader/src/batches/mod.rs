//! Events by type and column, for programs that count, sum and search rather than print.
//!
//! Blocks are stored as columns; here they stay columns. What a reader of Arrow or Parquet calls a record batch is a
//! [`Batch`]: some events of one type and one thread, their times, and a [`Column`] for each field.

mod column;
mod form;
mod group;
mod rows;
mod run;
mod set;

use tracewell_schema::Schema;
use tracewell_schema::format::columns::Group;
use tracewell_schema::format::record::LossCounts;

use crate::filter::Filter;
use crate::item::Item;
use crate::summary::Summary;
use crate::trace::{Described, ProcessInfo, Ring, Trace};

pub use column::{Column, FixedBytes, Strings, Values};
pub(crate) use form::{Form, forms};
pub(crate) use group::{is_plain, losses};
pub(crate) use run::{Places, Reading};
pub(crate) use set::{Sequences, Set};

/// What reading a trace by columns hands out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Part<'a> {
    /// Events.
    Batch(Batch<'a>),
    /// Events were refused here.
    Lost {
        /// UTC ns of the loss record.
        time: i64,
        /// The process.
        process: &'a ProcessInfo,
        /// Index of the process.
        process_index: usize,
        /// Thread id.
        tid: u32,
        /// How many, by reason.
        counts: LossCounts,
        /// Told by a ring of another boot.
        is_unverified: bool,
    },
    /// Events are missing here: a block is damaged or gone.
    Hole {
        /// UTC ns of what comes after.
        time: i64,
        /// The process.
        process: &'a ProcessInfo,
        /// Index of the process.
        process_index: usize,
        /// Thread id.
        tid: u32,
        /// How many events.
        events: u64,
        /// Told by a ring of another boot.
        is_unverified: bool,
    },
}

impl<'a> Part<'a> {
    /// Of an item that is no event.
    pub(crate) const fn of(item: &Item<'a>) -> Option<Self> {
        match *item {
            Item::Event(_) => None,
            Item::Lost { time, process, process_index, tid, counts, is_unverified } => {
                Some(Self::Lost { time, process, process_index, tid, counts, is_unverified })
            }
            Item::Hole { time, process, process_index, tid, events, is_unverified } => {
                Some(Self::Hole { time, process, process_index, tid, events, is_unverified })
            }
        }
    }
}

/// Events of one type and one thread, in the order in which they were emitted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Batch<'a> {
    /// The process.
    pub process: &'a ProcessInfo,
    /// Index of the process in [`Trace::processes`].
    pub process_index: usize,
    /// Thread id.
    pub tid: u32,
    /// Thread name, as stored: hostile.
    pub thread_name: &'a str,
    /// Ring id.
    pub ring: u32,
    /// The type of the events.
    pub schema: &'a Schema,
    /// UTC ns of each event.
    pub times: &'a [i64],
    /// They were salvaged from a ring of another boot: nothing proves that they were emitted so.
    pub is_unverified: bool,
    pub(crate) described: &'a Described,
    pub(crate) set: &'a Set,
    /// Where the values are that were not copied.
    pub(crate) group: Option<&'a Group<'a>>,
}

/// The ring that a batch is of.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) process: &'a ProcessInfo,
    pub(crate) process_index: usize,
    pub(crate) ring: &'a Ring,
    pub(crate) id: u32,
    /// What comes next of it is of another boot.
    pub(crate) is_unverified: bool,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        origin: &Origin<'a>,
        described: &'a Described,
        set: &'a Set,
        group: Option<&'a Group<'a>>,
    ) -> Self {
        Self {
            process: origin.process,
            process_index: origin.process_index,
            tid: origin.ring.info.tid,
            thread_name: &origin.ring.info.thread_name,
            ring: origin.id,
            schema: &described.schema,
            times: &set.times,
            is_unverified: origin.is_unverified,
            described,
            set,
            group,
        }
    }

    /// How many events it has; at least one.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether it has none, which none has.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Number of an event in its ring: gives events of several types of one thread their order. `None` if there is no
    /// such row.
    #[must_use]
    pub fn sequence(&self, row: usize) -> Option<u64> {
        (row < self.len()).then(|| self.set.sequence(row))
    }

    /// The columns, in the order of the schema's fields.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = Column<'_>> {
        let forms = self.described.forms.iter().zip(&self.set.stores);
        self.schema.fields.iter().zip(forms).enumerate().map(|(index, (schema, (form, store)))| Column {
            schema,
            reduction: self.set.reductions.get(index).copied().unwrap_or(schema.reduction),
            nulls: &store.nulls,
            values: store.values(form, self.group),
        })
    }

    /// The column with this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<Column<'_>> {
        let index = self.schema.fields.iter().position(|field| field.name == name)?;
        self.columns().nth(index)
    }

    /// Rows whose bytes are nothing that their type can be, with the index of the first field for which that is so:
    /// this field and those after it are null.
    #[must_use]
    pub fn broken(&self) -> &[(usize, usize)] {
        &self.set.broken
    }
}

impl Trace {
    /// Calls `each` for the events that the filter wants, in batches of one type and thread, and for every loss and
    /// hole. That is an order of magnitude faster than [`Trace::read`] event by event, for blocks that are stored as
    /// columns are not taken apart; other blocks and rings give the same batches, slower.
    ///
    /// *Order*: the batches of a thread and type come in its order. All batches come by the time of the block that
    /// they are of: so their times overlap, with those of other threads and with those of other types of the same
    /// block, and losses and holes stand anywhere among the batches of their block. Nothing is merged event by event;
    /// who wants that sorts rows by `(time, process, ring, sequence)`, or uses [`Trace::read`].
    ///
    /// *Memory*: a batch is of one block, 1 MiB of records at most, and is gone when `each` returns.
    ///
    /// *Accounts*: the summary is that of [`Trace::read`], but for the order of what is damaged.
    ///
    /// ```no_run
    /// use std::collections::HashMap;
    /// use tracewell_reader::{Filter, Part, Trace};
    ///
    /// let trace = Trace::open(&["/var/lib/tracewell".into()], &[])?;
    /// let mut bytes_of_port: HashMap<u16, u64> = HashMap::new();
    /// let summary = trace.batches(&Filter::default(), |part| {
    ///     if let Part::Batch(batch) = part
    ///         && let Some(ports) = batch.column("destination_port").and_then(|c| c.values.u16s())
    ///         && let Some(bytes) = batch.column("bytes").and_then(|c| c.values.u64s())
    ///     {
    ///         for (port, bytes) in ports.iter().zip(bytes) {
    ///             *bytes_of_port.entry(*port).or_default() += bytes;
    ///         }
    ///     }
    ///     Ok(())
    /// })?;
    /// assert!(summary.is_complete());
    /// # Ok::<(), tracewell_reader::ReadError>(())
    /// ```
    ///
    /// # Errors
    /// What `each` returns.
    pub fn batches<E>(
        &self,
        filter: &Filter,
        each: impl FnMut(&Part<'_>) -> Result<(), E>,
    ) -> Result<Summary, E> {
        run::run(self, filter, each)
    }
}
