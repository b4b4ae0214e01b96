//! Responses received in pieces of any size.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8, bool)| {
    let (bytes, step, is_head) = input;
    fuzzing::transport(bytes, step.into(), is_head);
    for start in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        fuzzing::transport(&[start, bytes].concat(), step.into(), is_head);
    }
});
