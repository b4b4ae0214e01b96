//! Black-box tests of `tcpecho-client`.
