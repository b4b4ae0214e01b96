//! Chunked bodies: the result does not depend on the size of the pieces, and no
//! byte after the end is used.
#![no_main]

use httpget::http::chunked::Decoder;
use libfuzzer_sys::fuzz_target;

fn decode(input: &[u8], step: usize, room: usize) -> Option<(Vec<u8>, bool, usize)> {
    let mut decoder = Decoder::default();
    let (mut data, mut used) = (Vec::new(), 0);
    for mut piece in input.chunks(step) {
        while !piece.is_empty() && !decoder.is_done() {
            let n = decoder.decode(piece, &mut data, room).ok()?;
            piece = &piece[n..];
            used += n;
        }
    }
    Some((data, decoder.is_done(), used))
}

fuzz_target!(|input: &[u8]| {
    let whole = decode(input, usize::MAX, 1 << 20);
    assert_eq!(whole, decode(input, 1, 7));
    assert_eq!(whole, decode(input, 5, 1));
    if let Some((data, _, used)) = whole {
        assert!(data.len() <= used && used <= input.len());
    }
});
