//! What the fuzz targets do, apart from the fuzzer: the same functions are run by `cargo test` on the committed seeds.
//!
//! * [`targets`]: one function for each target, which panics if something does not hold.
//! * [`mutate`]: structure-aware changes; [`checksums`] puts the checksums right after them, for else nothing would
//!   get past the first.
//! * [`bounds`]: what memory and time a target may take.
//! * [`read`]: the oracle of everything that is read as a trace; [`output`]: what may come out.
//! * [`seeds`]: the corpus, made by the real encoders, with the verdict that each hostile file must get.

pub mod blob;
pub mod bounds;
pub mod checksums;
pub mod generate;
pub mod mutate;
pub mod output;
pub mod place;
pub mod random;
pub mod read;
pub mod scene;
pub mod seeds;
pub mod targets;

#[cfg(feature = "libfuzzer")]
#[doc(hidden)]
pub use libfuzzer_sys;

/// Makes a target of a function in [`targets`], with a mutator for inputs of a kind that it knows.
#[cfg(feature = "libfuzzer")]
#[macro_export]
macro_rules! target {
    ($name:ident, $kind:expr) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(|data: &[u8]| -> libfuzzer_sys::Corpus {
            if $crate::targets::$name(data) {
                libfuzzer_sys::Corpus::Keep
            } else {
                libfuzzer_sys::Corpus::Reject
            }
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            let mut plain = |bytes: &mut [u8], size: usize| {
                let room = bytes.len();
                libfuzzer_sys::fuzzer_mutate(bytes, size, room)
            };
            $crate::mutate::mutate($kind, data, size, max_size, seed, &mut plain)
        });
    };
}
