//! Methods that differ in their arguments alone, written as tables.

/// Declares methods that are the inner backend's.
macro_rules! inner {
    ($( fn $method:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?; )+) => {
        $(
            fn $method(&self $(, $argument: $type)*) $(-> $result)? {
                self.inner.$method($($argument),*)
            }
        )+
    };
}
pub(super) use inner;

/// Declares methods whose result is a buffer, which is wrong if the method is.
macro_rules! returned {
    ($( fn $method:ident($($argument:ident: $type:ty),*); )+) => {
        $(
            fn $method(&self, $($argument: $type),*) -> B::Buffer {
                self.spoiled(stringify!($method), self.inner.$method($($argument),*))
            }
        )+
    };
}
pub(super) use returned;

/// Declares methods that write to buffers. After the arguments stand the buffers, each with the name of the wrong operation that spoils it.
macro_rules! written {
    ($(
        fn $method:ident $(<const $count:ident: usize>)? ($($argument:ident: $type:ty),* $(,)?)
            writes $($buffer:ident as $operation:literal),+;
    )+) => {
        $(
            fn $method $(<const $count: usize>)? (&self, $($argument: $type),*) {
                self.inner.$method($($argument),*);
                $( self.spoil($operation, $buffer); )+
            }
        )+
    };
}
pub(super) use written;
