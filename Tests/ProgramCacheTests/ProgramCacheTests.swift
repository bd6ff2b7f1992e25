import Testing
import TrackingModel

@testable import ProgramCache

final class Waiter: ProgramWaiter {
    var outcomes = 0
    func programArrived(_ outcome: ProgramCache.Outcome) { self.outcomes += 1 }
}

let second: UInt64 = 1_000_000_000

func programID(_ text: String) throws -> ProgramID { try #require(ProgramID(text)) }

func program(_ id: String, version: Int64? = nil, name: String = "") throws -> Program {
    var program = Program(id: try programID(id))
    program.version = version
    program.name = name
    return program
}

extension ProgramCache {
    enum Seen: Equatable {
        case hit(Int64?)
        case stale(Int64?)
        case unknown
        case malformed
        case miss
        case noID
    }

    mutating func see(_ id: String, now: UInt64) -> Seen {
        switch self.lookup(Array(id.utf8).span, now: now) {
        case .hit(let program): .hit(program.version)
        case .stale(let program): .stale(program.version)
        case .unknown: .unknown
        case .malformed: .malformed
        case .miss: .miss
        case .noID: .noID
        }
    }

    /// A whole read; nil: it has to be read again.
    mutating func load(_ id: String, _ reading: ProgramReading, now: UInt64) throws -> Seen? {
        let id = try programID(id)
        #expect(self.beginLoad(id, waiter: Waiter()) == true)
        return self.end(id, reading, now: now)
    }

    mutating func end(_ id: ProgramID, _ reading: ProgramReading, now: UInt64) -> Seen? {
        switch self.endLoad(id, reading, now: now) {
        case .readAgain: nil
        case .settled(.program(let program, let isStale), _): isStale ? .stale(program.version) : .hit(program.version)
        case .settled(.unknown, _): .unknown
        case .settled(.malformed, _): .malformed
        case .settled(.unreachable, _): .miss
        }
    }
}

@Suite("The cache of programs")
struct ProgramCacheTests {
    private func cache(_ change: (inout ProgramCache.Limits) -> Void = { _ in }) -> ProgramCache {
        var limits = ProgramCache.Limits()
        change(&limits)
        return ProgramCache(limits)
    }

    // MARK: Time

    @Test("a program is fresh for its TTL, give or take a tenth")
    func ttl() throws {
        for _ in 0..<200 {
            var cache = self.cache { $0.ttl = 100 * second }
            #expect(try cache.load("p", .program(program("p")), now: 5 * second) == .hit(nil))
            #expect(cache.see("p", now: 95 * second - 1) == .hit(nil))
            #expect(cache.see("p", now: 115 * second + 1) == .miss)
        }
    }

    @Test("the jitter stays within its bounds and uses them")
    func jitter() {
        var random = RandomBits()
        let values = (0..<10_000).map { _ in ProgramCache.jittered(1_000_000, using: &random) }
        #expect(values.allSatisfy { 900_000...1_100_000 ~= $0 })
        #expect(values.contains { $0 < 920_000 } && values.contains { $0 > 1_080_000 })
        let short = [0, 9].map { ProgramCache.jittered($0, using: &random) }
        #expect(short == [0, 9])
    }

    @Test("a read after the TTL makes the program fresh again, with what was read")
    func refresh() throws {
        var cache = self.cache { $0.ttl = 10 * second }
        _ = try cache.load("p", .program(program("p", version: 1)), now: 0)
        #expect(cache.see("p", now: 12 * second) == .miss)
        #expect(try cache.load("p", .program(program("p", version: 2)), now: 12 * second) == .hit(2))
        #expect(cache.see("p", now: 20 * second) == .hit(2))
        #expect(cache.count == 1)
    }

    // MARK: Single flight

    @Test("10,000 who miss the same id make one read, and all are told")
    func singleFlight() throws {
        var cache = self.cache()
        let id = try programID("p")
        var reads = 0
        for _ in 0..<10_000 where cache.beginLoad(id, waiter: Waiter()) { reads += 1 }
        #expect(reads == 1)
        #expect(cache.beginLoad(try programID("q"), waiter: Waiter()) == true)
        guard case .settled(.program, let waiters) = cache.endLoad(id, .program(try program("p")), now: 0) else {
            Issue.record("not settled")
            return
        }
        #expect(waiters.count == 10_000)
        #expect(cache.beginLoad(id, waiter: Waiter()) == true)
    }

    @Test("a read that nobody began changes nothing")
    func unasked() throws {
        var cache = self.cache()
        #expect(cache.end(try programID("p"), .program(try program("p")), now: 0) == .miss)
        #expect(cache.count == 0)
    }

    // MARK: Absences

    @Test("an absence is known for the negative TTL")
    func negativeTTL() throws {
        var cache = self.cache { $0.negativeTTL = 2 * second }
        #expect(try cache.load("p", .absent, now: 0) == .unknown)
        #expect(cache.see("p", now: 2 * second - 1) == .unknown)
        #expect(cache.see("p", now: 2 * second) == .miss)
        #expect(cache.count == 0)
    }

    @Test("no negative TTL, no absences")
    func noNegativeTTL() throws {
        var cache = self.cache { $0.negativeTTL = 0 }
        #expect(try cache.load("p", .absent, now: 0) == .unknown)
        #expect(cache.see("p", now: 0) == .miss)
    }

    @Test("absences are bounded and never push a program out")
    func absencesAreBounded() throws {
        var cache = self.cache {
            $0.capacity = 4
            $0.negativeCapacity = 3
        }
        for index in 0..<4 { _ = try cache.load("p\(index)", .program(program("p\(index)")), now: 0) }
        for index in 0..<1_000 { _ = try cache.load("none\(index)", .absent, now: 0) }
        #expect(cache.count == 4)
        #expect(cache.absences.count == 3)
        for index in 0..<4 { #expect(cache.see("p\(index)", now: 1) == .hit(nil)) }
        #expect(cache.see("none999", now: 1) == .unknown)
        #expect(cache.see("none0", now: 1) == .miss)
    }

    @Test("a malformed program is known to be so for the negative TTL")
    func malformed() throws {
        var cache = self.cache()
        let fault = ProgramReading.malformed(MalformedProgram(field: "valid", reason: "is odd"))
        #expect(try cache.load("p", fault, now: 0) == .malformed)
        #expect(cache.see("p", now: second) == .malformed)
        #expect(cache.see("p", now: 3 * second) == .miss)
    }

    @Test("a source that can't be reached says nothing about a program")
    func unreachable() throws {
        var cache = self.cache()
        #expect(try cache.load("p", .unreachable, now: 0) == .miss)
        #expect(cache.see("p", now: 0) == .miss)
        #expect(cache.absences.count == 0)
    }

    @Test("a pushed program ends its absence")
    func pushEndsAbsence() throws {
        var cache = self.cache()
        _ = try cache.load("p", .absent, now: 0)
        _ = cache.apply(.program(try program("p", version: 1), origin: .pushed), now: 0)
        #expect(cache.see("p", now: 0) == .hit(1))
        _ = try cache.load("q", .absent, now: 0)
        _ = cache.apply(.program(try program("q"), origin: .pushed), now: 0)
        #expect(cache.see("q", now: 0) == .miss)
    }

    @Test("the capacity is exact, and the program used longest ago gives way")
    func capacity() throws {
        var cache = self.cache { $0.capacity = 100 }
        for index in 0..<150 {
            _ = try cache.load("p\(index)", .program(program("p\(index)")), now: 0)
            #expect(cache.see("p0", now: 0) == .hit(nil))
        }
        #expect(cache.count == 100)
        #expect(cache.see("p1", now: 0) == .miss)
        #expect(cache.see("p51", now: 0) == .hit(nil))
    }

    // MARK: The source is away

    @Test("an expired program serves while the source is away, asked for again now and then")
    func stale() throws {
        var cache = self.cache {
            $0.ttl = 10 * second
            $0.staleMax = 100 * second
            $0.staleRetry = second
        }
        _ = try cache.load("p", .program(program("p", version: 1)), now: 0)
        #expect(cache.see("p", now: 20 * second) == .miss)
        #expect(try cache.load("p", .unreachable, now: 20 * second) == .stale(1))
        #expect(cache.see("p", now: 21 * second - 1) == .stale(1))
        #expect(cache.see("p", now: 21 * second) == .miss)
        #expect(try cache.load("p", .unreachable, now: 108 * second) == .stale(1))
        // 9 to 11 seconds fresh, then 100 seconds more.
        #expect(try cache.load("p", .unreachable, now: 112 * second) == .miss)
        #expect(try cache.load("p", .program(program("p", version: 2)), now: 112 * second) == .hit(2))
        #expect(cache.see("p", now: 113 * second) == .hit(2))
        #expect(cache.counts.stale == 1)
    }

    @Test("without a stale age an outage is felt at once")
    func noStale() throws {
        var cache = self.cache {
            $0.ttl = 10 * second
            $0.staleMax = 0
        }
        _ = try cache.load("p", .program(program("p")), now: 0)
        #expect(try cache.load("p", .unreachable, now: 12 * second) == .miss)
    }

    @Test("bytes that are no id are known by their form, and count as no look-up")
    func noID() {
        var cache = ProgramCache(ProgramCache.Limits())
        for bytes in ["", "a.b", "é", String(repeating: "a", count: 65), String(repeating: "a", count: 10_000)] {
            #expect(cache.see(bytes, now: 0) == .noID)
        }
        #expect(cache.counts.misses == 0)
    }

    @Test("every look-up is counted once")
    func counts() throws {
        var cache = self.cache()
        _ = cache.see("p", now: 0)
        _ = try cache.load("p", .program(program("p")), now: 0)
        for _ in 0..<3 { _ = cache.see("p", now: 0) }
        _ = try cache.load("q", .absent, now: 0)
        for _ in 0..<2 { _ = cache.see("q", now: 0) }
        #expect(cache.counts.misses == 1 && cache.counts.hits == 3 && cache.counts.negative == 2)
    }
}
