//! Black-box tests of `tcpecho-server`.
