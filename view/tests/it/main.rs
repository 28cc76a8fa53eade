//! The page, over HTTP and in a real browser.

mod browser;
mod chromium;
mod demo;
mod hostile;
mod http;
mod page;
mod peers;
