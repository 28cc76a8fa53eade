//! The one cursor through which all untrusted bytes are decoded.

use crate::error::DecodeError;

/// Reads forward through bytes; every step is checked.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! ints {
    ($($name:ident: $ty:ty),*) => {$(
        #[doc = concat!("The next little-endian `", stringify!($ty), "`.")]
        ///
        /// # Errors
        /// If the bytes end before it does.
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            self.array().map(<$ty>::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it has come.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// An error at the present place.
    #[must_use]
    pub const fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(self.at, what)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(n).ok_or(self.error("length overflows"))?;
        let taken = self.bytes.get(self.at..end).ok_or(self.error("bytes end too early"))?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// If there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.take(N)?.first_chunk::<N>().copied().ok_or(DecodeError::new(at, "bytes end too early"))
    }

    ints! { u8: u8, u16: u16, u32: u32, u64: u64, i8: i8, i16: i16, i32: i32, i64: i64 }

    /// The next double.
    ///
    /// # Errors
    /// If the bytes end before it does.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_le_bytes)
    }

    /// Text with a length of one byte.
    ///
    /// # Errors
    /// If it is cut or not UTF-8.
    pub fn str8(&mut self) -> Result<&'a str, DecodeError> {
        let n = usize::from(self.u8()?);
        self.text(n)
    }

    /// Text with a length of two bytes, of at most `max` bytes.
    ///
    /// # Errors
    /// If it is cut, too long or not UTF-8.
    pub fn str16(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let n = usize::from(self.u16()?);
        if n > max {
            return Err(self.error("text is too long"));
        }
        self.text(n)
    }

    fn text(&mut self, n: usize) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.take(n)?).map_err(|_| DecodeError::new(at, "text is not UTF-8"))
    }

    /// Zero-padded text in `n` bytes.
    ///
    /// # Errors
    /// If it is cut or not UTF-8.
    pub fn padded(&mut self, n: usize) -> Result<&'a str, DecodeError> {
        let at = self.at;
        let bytes = self.take(n)?;
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(n);
        std::str::from_utf8(bytes.get(..len).unwrap_or_default())
            .map_err(|_| DecodeError::new(at, "text is not UTF-8"))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// If something is.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("unexpected bytes follow")) }
    }
}
