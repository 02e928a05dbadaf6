//! The policy in force: who may send what to whom. Every case runs with either way of forwarding.

mod explain;
mod host;
mod isolation;
mod lab;
mod life;
mod probe;
mod rules;
mod state;

/// Makes of each of these functions a test for each way of forwarding.
macro_rules! both_ways {
    ($($name:ident),+ $(,)?) => {
        mod direct {
            $(#[test]
            fn $name() {
                super::$name(enid::ForwardingMode::Direct);
            })+
        }
        mod kernel {
            $(#[test]
            fn $name() {
                super::$name(enid::ForwardingMode::Kernel);
            })+
        }
    };
}
use both_ways;
