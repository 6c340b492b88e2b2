//! What a splice counted since it was last asked: frames, publishes, deliveries, and methods by
//! class and direction.

use crate::wire::amqp::MethodId;

/// Counts of one session since they were last taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames of every type that came from the client.
    pub frames_from_client: u32,
    /// Frames of every type that went to the client.
    pub frames_to_client: u32,
    /// basic.publish from the client.
    pub publishes: u32,
    /// basic.deliver and basic.get-ok to the client.
    pub deliveries: u32,
    /// Channels that were opened (channel.open-ok), less those that were closed (channel.close-ok, by either side).
    pub channels: i32,
    /// Methods from the client.
    pub methods_from_client: MethodTally,
    /// Methods to the client.
    pub methods_to_client: MethodTally,
}

impl Tally {
    /// Counts a method from the client.
    #[inline]
    pub fn count_from_client(&mut self, method: MethodId) {
        self.methods_from_client.count(method);
        if method == MethodId::BASIC_PUBLISH {
            self.publishes = self.publishes.wrapping_add(1);
        } else if method == MethodId::CHANNEL_CLOSE_OK {
            self.channels = self.channels.wrapping_sub(1);
        }
    }

    /// Counts a method to the client.
    #[inline]
    pub fn count_to_client(&mut self, method: MethodId) {
        self.methods_to_client.count(method);
        if method == MethodId::BASIC_DELIVER || method == MethodId::BASIC_GET_OK {
            self.deliveries = self.deliveries.wrapping_add(1);
        } else if method == MethodId::CHANNEL_OPEN_OK {
            self.channels = self.channels.wrapping_add(1);
        } else if method == MethodId::CHANNEL_CLOSE_OK {
            self.channels = self.channels.wrapping_sub(1);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Methods by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MethodTally {
    by_class: [u32; MethodClass::ALL.len()],
}

impl MethodTally {
    /// Counts one method.
    #[inline]
    pub fn count(&mut self, method: MethodId) {
        if let Some(count) = self.by_class.get_mut(MethodClass::of(method) as usize) {
            // A tally is taken every few batches; wrapping keeps the check out of the data path.
            *count = count.wrapping_add(1);
        }
    }

    /// How many methods of `class` were counted.
    pub fn of(&self, class: MethodClass) -> u32 {
        self.by_class
            .get(class as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Every class with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (MethodClass, u32)> + '_ {
        MethodClass::ALL.into_iter().zip(self.by_class)
    }
}

/// The classes of AMQP 0-9-1 with RabbitMQ's extensions, as metrics tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodClass {
    /// Class 10.
    Connection,
    /// Class 20.
    Channel,
    /// Class 30, which nobody uses any more.
    Access,
    /// Class 40.
    Exchange,
    /// Class 50.
    Queue,
    /// Class 60.
    Basic,
    /// Class 85, publisher confirms.
    Confirm,
    /// Class 90.
    Tx,
    /// Any other number.
    Other,
}

impl MethodClass {
    /// Every class, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Connection,
        Self::Channel,
        Self::Access,
        Self::Exchange,
        Self::Queue,
        Self::Basic,
        Self::Confirm,
        Self::Tx,
        Self::Other,
    ];

    /// The class of a method.
    #[inline]
    pub const fn of(method: MethodId) -> Self {
        match method.class {
            10 => Self::Connection,
            20 => Self::Channel,
            30 => Self::Access,
            40 => Self::Exchange,
            50 => Self::Queue,
            60 => Self::Basic,
            85 => Self::Confirm,
            90 => Self::Tx,
            _ => Self::Other,
        }
    }

    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Channel => "channel",
            Self::Access => "access",
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::Basic => "basic",
            Self::Confirm => "confirm",
            Self::Tx => "tx",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_place_and_label() {
        let numbers = [10, 20, 30, 40, 50, 60, 85, 90, 7];
        let mut tally = MethodTally::default();
        for (times, number) in numbers.into_iter().enumerate() {
            for _ in 0..=times {
                tally.count(MethodId::new(number, 1));
            }
        }
        let counted: Vec<_> = tally
            .iter()
            .map(|(class, count)| (class.label(), count))
            .collect();
        let expected = [
            ("connection", 1),
            ("channel", 2),
            ("access", 3),
            ("exchange", 4),
            ("queue", 5),
            ("basic", 6),
            ("confirm", 7),
            ("tx", 8),
            ("other", 9),
        ];
        assert_eq!(counted, expected);
        assert_eq!(tally.of(MethodClass::Tx), 8);
    }

    #[test]
    fn publishes_and_deliveries_count_in_their_own_direction_only() {
        let mut tally = Tally::default();
        assert!(tally.is_empty());
        for method in [
            MethodId::BASIC_PUBLISH,
            MethodId::BASIC_DELIVER,
            MethodId::BASIC_GET_OK,
        ] {
            tally.count_from_client(method);
            tally.count_to_client(method);
        }
        assert_eq!((tally.publishes, tally.deliveries), (1, 2));
        assert_eq!(tally.methods_from_client.of(MethodClass::Basic), 3);
        assert!(!tally.is_empty());
    }
}
