//! The extensions that every gateway has.

mod stand_ins {
    use crate::pipeline::link::{Decision, Extension, Terms};
    use crate::wire::websocket::header::Offer;
    macro_rules! stand_in {
        ($t:ident, $n:literal) => {
            /// Stand-in.
            #[derive(Debug)]
            pub struct $t;
            impl Extension for $t {
                fn name(&self) -> &str {
                    $n
                }
                fn decide(&self, _: &Offer, _: &Terms<'_>) -> Decision {
                    Decision::Declined
                }
            }
        };
    }
    stand_in!(PingPong, "x-kaazing-ping-pong");
    stand_in!(IdleTimeout, "x-kaazing-idle-timeout");
    stand_in!(Sequence, "smeuse-sequence");
}
pub use stand_ins::{IdleTimeout, PingPong, Sequence};
