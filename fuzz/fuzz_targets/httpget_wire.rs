//! Responses as they come over a connection, in pieces of any size.
#![no_main]

use httpget::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u8, bool)| {
    let (bytes, step, to_head) = input;
    fuzzing::wire(bytes, step.into(), to_head);
    for start in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        fuzzing::wire(&[start, bytes].concat(), step.into(), to_head);
    }
});
