//! Use of the product's interface. Keystrokes and free text are never recorded.

use std::time::Duration;

use crate::{CorrelationId, Event, FieldEnum, Id128};

/// What was done in the interface.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum UiActionKind {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Something was opened.
    Open = 1,
    /// Something was closed.
    Close = 2,
    /// Something was clicked.
    Click = 3,
    /// Something was switched on or off.
    Toggle = 4,
    /// Text was typed, of which only the length is recorded.
    Type = 5,
    /// A shortcut was used.
    Shortcut = 6,
}

/// By what the interface was used.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum UiSource {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Mouse or touchpad.
    Mouse = 1,
    /// Keyboard.
    Keyboard = 2,
    /// Touch or pen.
    Touch = 3,
    /// Assistive technology.
    Assistive = 4,
    /// Command line.
    CommandLine = 5,
    /// From another computer.
    Remote = 6,
}

/// What became of a notification.
#[derive(FieldEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[event(crate = "crate")]
#[repr(u8)]
pub enum NotificationAction {
    /// It was shown.
    #[default]
    Shown = 0,
    /// The user dismissed it.
    Dismissed = 1,
    /// The user clicked it.
    Clicked = 2,
    /// It went by itself.
    Expired = 3,
}

/// The interface was used.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "ui.action",
    category = "ui",
    level = "debug",
    text = "{action} of {control} in {window} by {source}"
)]
pub struct UiAction<'a> {
    /// Id of the window, as the product's source names it.
    #[field(public)]
    pub window: &'a str,
    /// Id of the control, as the product's source names it.
    #[field(public)]
    pub control: &'a str,
    /// What was done.
    #[field(public)]
    pub action: UiActionKind,
    /// Name of the setting that was changed.
    #[field(public)]
    pub setting: Option<&'a str>,
    /// Value of the setting before.
    #[field(personal)]
    pub old_value: Option<&'a str>,
    /// Value of the setting now.
    #[field(personal)]
    pub new_value: Option<&'a str>,
    /// Length of what was typed.
    #[field(public, unit = "characters")]
    pub typed_length: Option<u32>,
    /// By what it was done.
    #[field(public)]
    pub source: UiSource,
    /// How long it lasted, for example how long a window was open.
    #[field(public)]
    pub took: Option<Duration>,
    /// Id of the window that led there.
    #[field(public)]
    pub from_window: Option<&'a str>,
    /// Locale of the interface, for example "en_GB".
    #[field(public)]
    pub locale: Option<&'a str>,
    /// Theme of the interface, for example "dark".
    #[field(public)]
    pub theme: Option<&'a str>,
    /// Scale of the interface; 100 is its plain size.
    #[field(public, unit = "%")]
    pub scale: Option<u16>,
    /// Time until the interface answered.
    #[field(public)]
    pub latency: Option<Duration>,
    /// Story it belongs to: the same in what it set off.
    #[field(public)]
    pub correlation: CorrelationId,
}

/// A notification was shown to the user, or the user did something with it.
#[derive(Event, Clone, Copy, Debug, Default)]
#[event(
    crate = "crate",
    name = "ui.notification",
    category = "ui",
    level = "debug",
    text = "notification {notification} was {action}"
)]
pub struct UiNotification<'a> {
    /// Number of the kind of notification.
    #[field(public)]
    pub notification: u32,
    /// What became of it.
    #[field(public)]
    pub action: NotificationAction,
    /// Id of the button that was clicked.
    #[field(public)]
    pub button: Option<&'a str>,
    /// How long it was visible.
    #[field(public)]
    pub visible: Option<Duration>,
    /// Detection that it is about.
    #[field(public)]
    pub detection_id: Option<Id128>,
    /// Story it belongs to: that of what it tells.
    #[field(public)]
    pub correlation: CorrelationId,
}
