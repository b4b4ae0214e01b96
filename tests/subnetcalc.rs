//! Black-box tests of `subnetcalc`.
