import Glibc
import NIOCore
import Synchronization
import Testing

@testable import Reactor

/// What happened, from any thread.
final class Diary: Sendable {
    private let lines: Mutex<[String]> = Mutex([])

    var all: [String] { self.lines.withLock { $0 } }

    func note(_ line: String) { self.lines.withLock { $0.append(line) } }
}

/// One end of a connected pair, watched; notes what it is found to be.
private final class Noting: Watched, @unchecked Sendable {
    let name: String
    private let diary: Diary
    private let also: (Noting, Readiness) -> Void

    init(_ name: String, _ descriptor: CInt, _ diary: Diary, also: @escaping (Noting, Readiness) -> Void = { _, _ in })
    {
        self.name = name
        self.diary = diary
        self.also = also
        super.init(descriptor: descriptor)
    }

    override func isReady(_ readiness: Readiness) {
        self.diary.note(self.name)
        self.also(self, readiness)
    }

    func readAll() -> Int {
        var bytes: [UInt8] = Array(repeating: 0, count: 100)
        return recv(self.descriptor, &bytes, bytes.count, 0)
    }
}

private actor Resident {
    private let loop: ReactorLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { self.loop.asUnownedSerialExecutor() }
    private(set) var visits = 0

    init(_ loop: ReactorLoop) { self.loop = loop }

    func visit() -> Bool {
        self.visits += 1
        return self.loop.inEventLoop
    }
}

private func socketPair() throws -> (CInt, CInt) {
    var ends: [CInt] = [-1, -1]
    let kind = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
    try #require(socketpair(AF_UNIX, kind, 0, &ends) == 0)
    return (ends[0], ends[1])
}

private func send(_ descriptor: CInt) { _ = Glibc.send(descriptor, "x", 1, CInt(MSG_NOSIGNAL)) }

@Suite("A reactor's loop", .timeLimit(.minutes(1)))
struct ReactorLoopTests {
    private func withLoop<R>(_ body: (ReactorLoop) async throws -> R) async throws -> R {
        let loop = try ReactorLoop()
        defer { loop.stop() }
        return try await body(loop)
    }

    @Test("runs what is asked of it on its own thread, in the order of each who asks")
    func execute() async throws {
        let diary = Diary()
        try await self.withLoop { loop in
            #expect(!loop.inEventLoop)
            await withTaskGroup(of: Void.self) { group in
                for caller in 0..<4 {
                    group.addTask {
                        for index in 0..<1_000 {
                            loop.execute { diary.note("\(caller) \(index) \(loop.inEventLoop)") }
                        }
                    }
                }
            }
            try await loop.submit {}.get()
        }
        for caller in 0..<4 {
            let own = diary.all.filter { $0.hasPrefix("\(caller) ") }
            #expect(own == (0..<1_000).map { "\(caller) \($0) true" })
        }
    }

    @Test("a task that the loop adds runs in the next tick, after what was there")
    func ticks() async throws {
        let diary = Diary()
        try await self.withLoop { loop in
            try await loop.submit {
                loop.execute {
                    diary.note("first")
                    loop.execute { diary.note("third") }
                }
                loop.execute { diary.note("second") }
            }.get()
            try await loop.submit {}.get()
            try await loop.submit {}.get()
        }
        #expect(diary.all == ["first", "second", "third"])
    }

    @Test("an actor lives on it, and its calls come home after an await elsewhere")
    func actors() async throws {
        try await self.withLoop { loop in
            let resident = Resident(loop)
            for _ in 0..<100 { #expect(await resident.visit()) }
            #expect(await resident.visits == 100)
            try await loop.submit { resident.assumeIsolated { #expect($0.visits == 100) } }.get()
        }
    }

    @Test("who is watched at its edges hears once of what has come, once more when it asks, and of an end behind it")
    func edges() async throws {
        let diary = Diary()
        let (here, there) = try socketPair()
        defer { for end in [here, there] { close(end) } }
        try await self.withLoop { loop in
            let noting = Noting("more", here, diary) { if $1.contains(.finished) { diary.note("end") } }
            func settle(_ lines: Int) async throws {
                while diary.all.count < lines { await Task.yield() }
                for _ in 0..<20 { try await loop.submit {}.get() }
            }
            try await loop.submit { try loop.watch(noting, for: [.readable, .finished, .edge]) }.get()
            send(there)
            try await settle(1)
            #expect(diary.all == ["more"])
            try await loop.submit { loop.lookAgain(at: noting) }.get()
            try await settle(2)
            #expect(diary.all == ["more", "more"])
            shutdown(there, CInt(SHUT_WR))
            try await settle(4)
            #expect(diary.all == ["more", "more", "more", "end"])
            try await loop.submit { loop.unwatch(noting) }.get()
        }
    }

    @Test("a loop that was woken and has nothing more to do sleeps")
    func sleeps() async throws {
        try await self.withLoop { loop in
            func cpuTime() async throws -> Int {
                try await loop.submit {
                    var time = timespec()
                    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
                    return time.tv_sec * 1_000_000_000 + time.tv_nsec
                }.get()
            }
            let before = try await cpuTime()
            try await Task.sleep(for: .milliseconds(300))
            let used = try await cpuTime() - before
            #expect(used < 100_000_000)
        }
    }

    @Test("timers run when they are due, cancelled ones never, also when the loop was idle")
    func timers() async throws {
        let diary = Diary()
        try await self.withLoop { loop in
            let began = NIODeadline.now()
            let late = loop.scheduleTask(in: .milliseconds(60)) { diary.note("late") }
            let never = loop.scheduleTask(in: .milliseconds(30)) { diary.note("never") }
            let soon = loop.scheduleTask(in: .milliseconds(5)) { diary.note("soon") }
            never.cancel()
            // On the loop itself, before the timer exists there.
            try await loop.submit { loop.scheduleTask(in: .milliseconds(1)) { diary.note("no") }.cancel() }.get()
            try await soon.futureResult.get()
            try await late.futureResult.get()
            #expect(NIODeadline.now() - began >= .milliseconds(60))
            await #expect(throws: EventLoopError.self) { try await never.futureResult.get() }
        }
        #expect(diary.all == ["soon", "late"])
    }

    @Test("a repeated task repeats until it is cancelled")
    func repeated() async throws {
        let count = Atomic(0)
        try await self.withLoop { loop in
            let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(1)) { task in
                if count.add(1, ordering: .relaxed).newValue == 5 { task.cancel() }
            }
            while count.load(ordering: .relaxed) < 5 { await Task.yield() }
            try await loop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
            #expect(count.load(ordering: .relaxed) == 5)
            task.cancel()
        }
    }

    @Test("a stop fails what was scheduled, runs what was asked, and takes nothing more")
    func stop() throws {
        let diary = Diary()
        let loop = try ReactorLoop()
        let waiting = loop.scheduleTask(in: .hours(1)) { diary.note("never") }
        waiting.futureResult.whenFailure { diary.note("\($0)") }
        loop.execute { loop.execute { diary.note("asked") } }
        loop.stop()
        loop.execute { diary.note("too late") }
        #expect(diary.all == ["asked", "\(EventLoopError.shutdown)"])
    }

    // MARK: Descriptors

    @Test("a descriptor is reported in every tick for as long as it is ready, and not when nobody wants to know")
    func levelTriggered() async throws {
        let diary = Diary()
        let (near, far) = try socketPair()
        try await self.withLoop { loop in
            let watched = Noting("ready", near, diary)
            send(far)
            try await loop.submit { try loop.watch(watched, for: .readable) }.get()
            while diary.all.count < 3 { await Task.yield() }
            let count = try await loop.submit {
                loop.change(watched, to: [])
                return diary.all.count
            }.get()
            try await loop.scheduleTask(in: .milliseconds(10)) {}.futureResult.get()
            #expect(diary.all.count == count)
            try await loop.submit { loop.change(watched, to: .writable) }.get()
            while diary.all.count < count + 2 { await Task.yield() }
            try await loop.submit { loop.unwatch(watched) }.get()
        }
        close(near)
        close(far)
    }

    @Test("a task that is added while descriptors are served runs after all that were ready with it")
    func endOfTick() async throws {
        let diary = Diary()
        let pairs = try (0..<5).map { _ in try socketPair() }
        try await self.withLoop { loop in
            let watched = pairs.enumerated().map { index, pair in
                Noting("ready", pair.0, diary) { watched, _ in
                    _ = watched.readAll()
                    if index == 0 { loop.execute { diary.note("end of tick") } }
                }
            }
            try await loop.submit {
                for watched in watched { try loop.watch(watched, for: .readable) }
                // All of them are ready before the loop looks.
                for pair in pairs { send(pair.1) }
            }.get()
            while diary.all.count < 6 { await Task.yield() }
            #expect(diary.all == Array(repeating: "ready", count: 5) + ["end of tick"])
            try await loop.submit { for watched in watched { loop.unwatch(watched) } }.get()
        }
        for pair in pairs {
            close(pair.0)
            close(pair.1)
        }
    }

    @Test(
        "one that ends another's watching in the same tick is not followed by it, even if the descriptor lives on anew"
    )
    func staleEvents() async throws {
        let diary = Diary()
        let pairs = try (0..<2).map { _ in try socketPair() }
        let ends: Mutex<[Noting]> = Mutex([])
        try await self.withLoop { loop in
            // Whichever comes first ends the other, and puts a new socket, with nothing to read, in its descriptor's place.
            let watched = (0..<2).map { index in
                Noting("old", pairs[index].0, diary) { watched, _ in
                    _ = watched.readAll()
                    guard let other = ends.withLock({ $0.first { $0 !== watched } }) else { return }
                    ends.withLock { $0 = [] }
                    loop.unwatch(other)
                    close(other.descriptor)
                    guard let (near, _) = try? socketPair() else { return }
                    let moved = dup2(near, other.descriptor)
                    try? loop.watch(Noting("new", moved, diary), for: .readable)
                }
            }
            ends.withLock { $0 = watched }
            try await loop.submit {
                for watched in watched { try loop.watch(watched, for: .readable) }
                for pair in pairs { send(pair.1) }
            }.get()
            try await loop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
            #expect(diary.all == ["old"])
        }
    }

    @Test("what is hung up is said without being asked")
    func hangUp() async throws {
        let diary = Diary()
        let (near, far) = try socketPair()
        try await self.withLoop { loop in
            let watched = Noting("found", near, diary) { watched, readiness in
                if readiness.contains(.hungUp) { diary.note("hung up") }
                loop.unwatch(watched)
            }
            try await loop.submit { try loop.watch(watched, for: []) }.get()
            close(far)
            while diary.all.isEmpty { await Task.yield() }
            try await loop.submit {}.get()
        }
        #expect(diary.all == ["found", "hung up"])
        close(near)
    }

    @Test("a descriptor that can't be watched is refused with the reason")
    func unwatchable() async throws {
        try await self.withLoop { loop in
            let result = loop.submit { try loop.watch(Noting("x", 9_999, Diary()), for: .readable) }
            do {
                try await result.get()
                Issue.record("watched")
            } catch let error as IOError {
                #expect(error.errnoCode == EBADF)
            }
        }
    }
}
