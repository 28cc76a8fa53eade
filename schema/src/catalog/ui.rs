//! Use of the interface.

use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum};

/// What was done.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum UiActionKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Opened.
    Open = 1,
    /// Closed.
    Close = 2,
    /// Clicked.
    Click = 3,
    /// Toggled.
    Toggle = 4,
    /// Typed: only the length.
    Type = 5,
    /// A shortcut.
    Shortcut = 6,
}

/// With what.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum UiSource {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Mouse.
    Mouse = 1,
    /// Keyboard.
    Keyboard = 2,
    /// Touch.
    Touch = 3,
    /// Assistive technology.
    Assistive = 4,
    /// Command line.
    CommandLine = 5,
    /// From elsewhere.
    Remote = 6,
}

/// What became of a notification.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum NotificationAction {
    /// Shown.
    #[default]
    Shown = 0,
    /// Dismissed.
    Dismissed = 1,
    /// Clicked.
    Clicked = 2,
    /// It went by itself.
    Expired = 3,
}

/// The interface was used. Never keystrokes, never text.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "ui.action",
    category = "ui",
    level = "debug",
    text = "{action} {control} in {window}"
)]
pub struct UiAction<'a> {
    /// Window.
    #[field(public)]
    pub window: &'a str,
    /// Control.
    #[field(public)]
    pub control: &'a str,
    /// What was done.
    #[field(public)]
    pub action: UiActionKind,
    /// Setting that was changed.
    #[field(public)]
    pub setting: Option<&'a str>,
    /// Its value before.
    #[field(personal)]
    pub old_value: Option<&'a str>,
    /// Its value now.
    #[field(personal)]
    pub new_value: Option<&'a str>,
    /// How many characters.
    #[field(public)]
    pub typed_length: Option<u32>,
    /// With what.
    #[field(public)]
    pub source: UiSource,
    /// How long it took.
    #[field(public)]
    pub took: Option<Duration>,
    /// Where it came from.
    #[field(public)]
    pub from_window: Option<&'a str>,
    /// Language.
    #[field(public)]
    pub locale: Option<&'a str>,
    /// Theme.
    #[field(public)]
    pub theme: Option<&'a str>,
    /// Scale.
    #[field(public, unit = "%")]
    pub scale: Option<u16>,
    /// How long the answer took.
    #[field(public)]
    pub latency: Option<Duration>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A notification.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "ui.notification",
    category = "ui",
    level = "debug",
    text = "notification {notification} {action}"
)]
pub struct UiNotification<'a> {
    /// Which.
    #[field(public)]
    pub notification: u32,
    /// What became of it.
    #[field(public)]
    pub action: NotificationAction,
    /// Button.
    #[field(public)]
    pub button: Option<&'a str>,
    /// How long it was shown.
    #[field(public)]
    pub visible: Option<Duration>,
    /// Joins it to what it belongs to.
    #[field(public)]
    pub correlation: CorrelationId,
}
