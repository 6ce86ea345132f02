//! libudt's C++ API, and the only unsafe code of this crate.
//!
//! Its functions take and return plain C types and let no exception out, so they can be called by their mangled names,
//! which are the same in the archive that `libudt4-sys` builds and in Debian's shared library. Taking the names from one
//! list for both is why the C wrapper of `libudt4-sys` is not used (it lacks perfmon and sendfile besides).
//!
//! Source: src/udt.h of UDT 4.11; the mangling is that of the Itanium C++ ABI with a 64-bit `long`.
#![expect(unsafe_code, reason = "calls into the C++ library; nothing else can show that we interoperate with it")]

use std::{
    ffi::{CString, c_char, c_int, c_long, c_void},
    net::SocketAddr,
    path::Path,
};

use godwit_interop::{Library, PerfMon};
// Links the archive.
use libudt4_sys as _;
use socket2::{Domain, SockAddr, SockAddrStorage};

/// The file that Debian's package libudt0 installs.
const DEBIAN_LIBRARY: &str = "libudt.so.0";

macro_rules! udt_api {
    ($($name:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*) => {
        mod bundled {
            use super::*;
            unsafe extern "C" {
                $(#[link_name = $symbol] pub(super) fn $name($(_: $argument),*) -> $result;)*
            }
        }

        /// The functions of one build of the library.
        struct Api {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Api {
            fn bundled() -> Self {
                Self { $($name: bundled::$name,)* }
            }

            fn load(file: &str) -> Result<Self, libloading::Error> {
                // SAFETY: libudt's initialisers only set up its own global object.
                let library = unsafe { libloading::Library::new(file) }?;
                // SAFETY: each symbol is a function of exactly this type: its mangled name says so.
                let api = Self { $($name: *unsafe { library.get(concat!($symbol, "\0")) }?,)* };
                // Its threads run until the process ends, so it must never be unloaded.
                std::mem::forget(library);
                Ok(api)
            }
        }
    };
}

udt_api! {
    startup = "_ZN3UDT7startupEv": fn() -> c_int;
    socket = "_ZN3UDT6socketEiii": fn(c_int, c_int, c_int) -> c_int;
    bind = "_ZN3UDT4bindEiPK8sockaddri": fn(c_int, *const SockAddrStorage, c_int) -> c_int;
    listen = "_ZN3UDT6listenEii": fn(c_int, c_int) -> c_int;
    accept = "_ZN3UDT6acceptEiP8sockaddrPi": fn(c_int, *mut SockAddrStorage, *mut c_int) -> c_int;
    connect = "_ZN3UDT7connectEiPK8sockaddri": fn(c_int, *const SockAddrStorage, c_int) -> c_int;
    close = "_ZN3UDT5closeEi": fn(c_int) -> c_int;
    local_address = "_ZN3UDT11getsocknameEiP8sockaddrPi": fn(c_int, *mut SockAddrStorage, *mut c_int) -> c_int;
    set_option = "_ZN3UDT10setsockoptEii6UDTOptPKvi": fn(c_int, c_int, c_int, *const c_void, c_int) -> c_int;
    get_option = "_ZN3UDT10getsockoptEii6UDTOptPvPi": fn(c_int, c_int, c_int, *mut c_void, *mut c_int) -> c_int;
    send = "_ZN3UDT4sendEiPKcii": fn(c_int, *const u8, c_int, c_int) -> c_int;
    recv = "_ZN3UDT4recvEiPcii": fn(c_int, *mut u8, c_int, c_int) -> c_int;
    send_message = "_ZN3UDT7sendmsgEiPKciib": fn(c_int, *const u8, c_int, c_int, bool) -> c_int;
    recv_message = "_ZN3UDT7recvmsgEiPci": fn(c_int, *mut u8, c_int) -> c_int;
    send_file = "_ZN3UDT9sendfile2EiPKcPlli": fn(c_int, *const c_char, *mut c_long, c_long, c_int) -> c_long;
    last_error = "_ZN3UDT17getlasterror_codeEv": fn() -> c_int;
    perf_mon = "_ZN3UDT7perfmonEiP8CPerfMonb": fn(c_int, *mut PerfMon, bool) -> c_int;
    state = "_ZN3UDT12getsockstateEi": fn(c_int) -> c_int;
}

unsafe extern "C" {
    /// Ends the process without running destructors.
    safe fn _exit(code: c_int) -> !;
}

/// Ends the process under libudt's running threads. What was printed has been written: standard output is flushed by line.
pub(crate) fn exit_now(code: c_int) -> ! {
    _exit(code)
}

/// A call of libudt that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UdtError {
    pub(crate) call: &'static str,
    /// 1000 times the class, plus the detail.
    pub(crate) code: i32,
}

/// The socket is not known, or no longer: libudt removes one within a second once its connection is lost and all is read.
pub(crate) const NO_SUCH_SOCKET: i32 = 5004;

/// Connection lost: also how libudt says that the peer has closed.
pub(crate) const CONNECTION_LOST: i32 = 2001;

/// UDT_STREAM or UDT_DGRAM: libudt takes the values of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SocketType {
    Stream = 1,
    Messages = 2,
}

/// Options, by their place in `enum UDTOpt`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SocketOption {
    Mss = 0,
    SynchronousReceive = 2,
    FlowWindow = 4,
    SendBuffer = 5,
    ReceiveBuffer = 6,
    Linger = 7,
    UdpReceiveBuffer = 9,
    Rendezvous = 12,
    MaxRate = 16,
    UnacknowledgedPackets = 19,
}

/// A state of `enum UDTSTATUS` that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Connected,
    Over,
}

/// The library, started; it is never cleaned up, because that may hang.
pub(crate) struct Udt {
    api: Api,
}

impl Udt {
    pub(crate) fn start(library: Library) -> Result<Self, libloading::Error> {
        let api = match library {
            Library::Bundled => Api::bundled(),
            Library::Debian => Api::load(DEBIAN_LIBRARY)?,
        };
        // SAFETY: takes nothing, and is called once.
        unsafe { (api.startup)() };
        Ok(Self { api })
    }

    pub(crate) fn socket(&self, address: SocketAddr, socket_type: SocketType) -> Result<Socket<'_>, UdtError> {
        let domain = Domain::for_address(address).into();
        // SAFETY: plain numbers.
        let id = self.check("socket", unsafe { (self.api.socket)(domain, socket_type as c_int, 0) })?;
        Ok(Socket { udt: self, id })
    }

    /// libudt keeps the last error per thread, so this must follow the call at once.
    fn check(&self, call: &'static str, result: c_int) -> Result<c_int, UdtError> {
        // SAFETY: takes nothing.
        if result < 0 { Err(UdtError { call, code: unsafe { (self.api.last_error)() } }) } else { Ok(result) }
    }
}

/// A UDT socket. libudt accepts calls for one socket from several threads.
#[derive(Clone, Copy)]
pub(crate) struct Socket<'a> {
    udt: &'a Udt,
    id: c_int,
}

impl Socket<'_> {
    pub(crate) fn bind(self, address: SocketAddr) -> Result<(), UdtError> {
        let address = SockAddr::from(address);
        // SAFETY: the pointer is valid for the length that goes with it.
        let result = unsafe { (self.udt.api.bind)(self.id, address.as_ptr(), address.len() as c_int) };
        self.udt.check("bind", result).map(drop)
    }

    pub(crate) fn listen(self, backlog: c_int) -> Result<(), UdtError> {
        // SAFETY: plain numbers.
        self.udt.check("listen", unsafe { (self.udt.api.listen)(self.id, backlog) }).map(drop)
    }

    pub(crate) fn accept(self) -> Result<(Self, SocketAddr), UdtError> {
        let (id, peer) = self.with_address("accept", self.udt.api.accept)?;
        Ok((Self { udt: self.udt, id }, peer))
    }

    pub(crate) fn connect(self, address: SocketAddr) -> Result<(), UdtError> {
        let address = SockAddr::from(address);
        // SAFETY: the pointer is valid for the length that goes with it.
        let result = unsafe { (self.udt.api.connect)(self.id, address.as_ptr(), address.len() as c_int) };
        self.udt.check("connect", result).map(drop)
    }

    /// Also if libudt has removed the socket already.
    pub(crate) fn close(self) -> Result<(), UdtError> {
        // SAFETY: plain numbers.
        match self.udt.check("close", unsafe { (self.udt.api.close)(self.id) }) {
            Err(UdtError { code: NO_SUCH_SOCKET, .. }) => Ok(()),
            result => result.map(drop),
        }
    }

    pub(crate) fn local_address(self) -> Result<SocketAddr, UdtError> {
        Ok(self.with_address("getsockname", self.udt.api.local_address)?.1)
    }

    /// For options whose type in C++ is `int`, or `bool` (its first byte).
    pub(crate) fn set_int(self, option: SocketOption, value: c_int) -> Result<(), UdtError> {
        self.set(option, &value)
    }

    pub(crate) fn set_max_rate(self, bytes_per_s: i64) -> Result<(), UdtError> {
        self.set(SocketOption::MaxRate, &bytes_per_s)
    }

    pub(crate) fn set_linger(self, seconds: u16) -> Result<(), UdtError> {
        // struct linger { int l_onoff; int l_linger; }
        self.set::<[c_int; 2]>(SocketOption::Linger, &[c_int::from(seconds > 0), seconds.into()])
    }

    /// How many packets the send buffer holds: those that are not acknowledged yet, or not even sent.
    pub(crate) fn unacknowledged_packets(self) -> Result<u32, UdtError> {
        let (mut packets, mut length): (c_int, _) = (0, size_of::<c_int>() as c_int);
        let option = SocketOption::UnacknowledgedPackets as c_int;
        // SAFETY: libudt writes an int, for which there is room, and its length.
        let result =
            unsafe { (self.udt.api.get_option)(self.id, 0, option, (&raw mut packets).cast(), &raw mut length) };
        self.udt.check("getsockopt", result).map(|_| packets.unsigned_abs())
    }

    pub(crate) fn send(self, bytes: &[u8]) -> Result<usize, UdtError> {
        // SAFETY: the pointer is valid for the length that goes with it.
        let result = unsafe { (self.udt.api.send)(self.id, bytes.as_ptr(), length(bytes), 0) };
        self.udt.check("send", result).map(|sent| sent as usize)
    }

    pub(crate) fn recv(self, buffer: &mut [u8]) -> Result<usize, UdtError> {
        let room = length(buffer);
        // SAFETY: the pointer is valid for writing the length that goes with it.
        let result = unsafe { (self.udt.api.recv)(self.id, buffer.as_mut_ptr(), room, 0) };
        self.udt.check("recv", result).map(|received| received as usize)
    }

    /// Without a time to live: libudt's sender is broken where messages expire (specification section 3.6).
    pub(crate) fn send_message(self, message: &[u8], in_order: bool) -> Result<usize, UdtError> {
        // SAFETY: the pointer is valid for the length that goes with it.
        let result = unsafe { (self.udt.api.send_message)(self.id, message.as_ptr(), length(message), -1, in_order) };
        self.udt.check("sendmsg", result).map(|sent| sent as usize)
    }

    pub(crate) fn recv_message(self, buffer: &mut [u8]) -> Result<usize, UdtError> {
        let room = length(buffer);
        // SAFETY: the pointer is valid for writing the length that goes with it.
        let result = unsafe { (self.udt.api.recv_message)(self.id, buffer.as_mut_ptr(), room) };
        self.udt.check("recvmsg", result).map(|received| received as usize)
    }

    /// Sends the first `bytes` bytes of a file.
    pub(crate) fn send_file(self, path: &Path, bytes: u64) -> Result<u64, UdtError> {
        /// What the header gives as default.
        const BLOCK_BYTES: c_int = 364_000;
        let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path that was opened has no NUL");
        let (mut offset, bytes) = (0, c_long::try_from(bytes).expect("fewer than 2^63 bytes"));
        // SAFETY: a C string and a number, both valid during the call.
        let sent = unsafe { (self.udt.api.send_file)(self.id, path.as_ptr(), &raw mut offset, bytes, BLOCK_BYTES) };
        u64::try_from(sent).map_err(|_| self.udt.check("sendfile", -1).expect_err("-1 is an error"))
    }

    pub(crate) fn perf_mon(self) -> Result<PerfMon, UdtError> {
        let mut perf = PerfMon::default();
        // SAFETY: `PerfMon` has the layout of CPerfMon, and plain numbers of any value.
        self.udt.check("perfmon", unsafe { (self.udt.api.perf_mon)(self.id, &raw mut perf, false) })?;
        Ok(perf)
    }

    pub(crate) fn state(self) -> State {
        // SAFETY: plain numbers.
        match unsafe { (self.udt.api.state)(self.id) } {
            1..=4 => State::Connecting,
            5 => State::Connected,
            _ => State::Over,
        }
    }

    fn set<T>(self, option: SocketOption, value: &T) -> Result<(), UdtError> {
        let (pointer, length) = ((&raw const *value).cast(), size_of::<T>() as c_int);
        // SAFETY: the pointer is valid for the length that goes with it.
        let result = unsafe { (self.udt.api.set_option)(self.id, 0, option as c_int, pointer, length) };
        self.udt.check("setsockopt", result).map(drop)
    }

    fn with_address(
        self,
        call: &'static str,
        function: unsafe extern "C" fn(c_int, *mut SockAddrStorage, *mut c_int) -> c_int,
    ) -> Result<(c_int, SocketAddr), UdtError> {
        let mut result = Ok(0);
        let fill = |storage, length: *mut u32| {
            // socklen_t is unsigned, but of the same size as the int that libudt wants.
            // SAFETY: both pointers are valid; libudt writes a sockaddr_in or sockaddr_in6, which fits, and its length.
            result = self.udt.check(call, unsafe { function(self.id, storage, length.cast()) });
            Ok(())
        };
        // SAFETY: `fill` has written an address, or left the zeroed storage as it was.
        let (_, address) = unsafe { SockAddr::try_init(fill) }.expect("`fill` never fails");
        Ok((result?, address.as_socket().expect("libudt writes IPv4 and IPv6 addresses")))
    }
}

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).expect("buffers are smaller than 2 GiB")
}
