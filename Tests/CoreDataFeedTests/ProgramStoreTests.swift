import TestSupport
import Testing
import TrackingModel

@testable import CoreDataFeed

@Suite("The store of programs in Redis", .serialized)
struct ProgramStoreTests {
    private func id(_ text: String) throws -> ProgramID { try #require(ProgramID(text)) }

    @Test("A write sets the whole hash, the next version, one entry of the stream, and is published")
    func put() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                // A field of an earlier life must not survive.
                try server.cli("HSET", "program:a", "validUntil", "2020-01-01T00:00:00Z", "programName", "old")
                let first = try await store.put(makeProgram("a", name: "one"))
                #expect(first == .applied(version: 1))
                let second = try await store.put(makeProgram("a", name: "two \"quoted\" \u{e9}"))
                #expect(second == .applied(version: 2))
                let held = try await store.get(id("a"))
                let expected = try makeProgram("a", name: "two \"quoted\" \u{e9}", version: 2)
                #expect(held == expected)
                #expect(try server.cli("XLEN", "adtrack.core-data.changes") == "2")
                let entries = try server.cli("XREVRANGE", "adtrack.core-data.changes", "+", "-", "COUNT", "1")
                let message = try #require(entries.split(separator: "\n").last.map(String.init))
                #expect(try Program(json: Array(message.utf8)) == expected)
            }
        }
    }

    @Test("An explicit version applies only when it is newer than what is held")
    func explicitVersions() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                func put(_ version: Int64) async throws -> ProgramStore.Outcome {
                    try await store.put(makeProgram("a", name: "v\(version)", version: version))
                }
                let outcomes = try await [put(9), put(8), put(9), put(10), put(100), put(99)]
                #expect(
                    outcomes == [
                        .applied(version: 9), .notNewer(held: 9), .notNewer(held: 9), .applied(version: 10),
                        .applied(version: 100), .notNewer(held: 100),
                    ]
                )
                #expect(try await store.get(id("a"))?.name == "v100")
                #expect(try server.cli("XLEN", "adtrack.core-data.changes") == "3")
            }
        }
    }

    @Test("Versions are exact up to the largest, which cannot grow")
    func largeVersions() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                let high = Int64(9_007_199_254_740_993)
                var outcome = try await store.put(makeProgram("a", version: high))
                #expect(outcome == .applied(version: high))
                outcome = try await store.put(makeProgram("a"))
                #expect(outcome == .applied(version: high + 1))
                outcome = try await store.put(makeProgram("b", version: 1_999))
                outcome = try await store.put(makeProgram("b"))
                #expect(outcome == .applied(version: 2_000))
                outcome = try await store.put(makeProgram("c", version: 999))
                outcome = try await store.put(makeProgram("c"))
                #expect(outcome == .applied(version: 1_000))
                outcome = try await store.put(makeProgram("d", version: .max))
                #expect(outcome == .applied(version: .max))
                await #expect(throws: StoreError.self) { try await store.put(makeProgram("d")) }
            }
        }
    }

    @Test("After a delete its version and lower ones never return, and a write goes on above it")
    func delete() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                _ = try await store.put(makeProgram("a", version: 5))
                var outcome = try await store.delete(id("a"))
                #expect(outcome == .applied(version: 6))
                #expect(try await store.get(id("a")) == nil)
                outcome = try await store.delete(id("a"))
                #expect(outcome == .unknown)
                outcome = try await store.put(makeProgram("a", version: 6))
                #expect(outcome == .notNewer(held: 6))
                let seconds = try #require(Int(server.cli("TTL", "program:a:deleted")))
                #expect((604_700...604_800).contains(seconds))
                outcome = try await store.put(makeProgram("a"))
                #expect(outcome == .applied(version: 7))
                #expect(try server.cli("EXISTS", "program:a:deleted") == "0")
                // A delete that comes before the program it is about.
                outcome = try await store.delete(id("later"), version: 3)
                #expect(outcome == .applied(version: 3))
                outcome = try await store.put(makeProgram("later", version: 2))
                #expect(outcome == .notNewer(held: 3))
            }
        }
    }

    @Test("Versions that older tools wrote in quotation marks or not at all are understood")
    func olderTools() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                try server.cli("HSET", "program:a", "version", "\"0041\"", "programName", "\"old\"")
                #expect(try await store.put(makeProgram("a")) == .applied(version: 42))
                try server.cli("HSET", "program:b", "version", "many")
                #expect(try await store.put(makeProgram("b")) == .applied(version: 1))
            }
        }
    }

    @Test("A key of another type is not overwritten, a hash that cannot be read says so")
    func wrongTypes() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                try server.cli("SET", "program:a", "text")
                await #expect(throws: StoreError.self) { try await store.put(makeProgram("a")) }
                await #expect(throws: StoreError.self) { try await store.get(id("a")) }
                #expect(try server.cli("GET", "program:a") == "text")
                try server.cli("HSET", "program:b", "customerId", "many")
                await #expect(throws: StoreError.self) { try await store.get(id("b")) }
            }
        }
    }

    @Test("The list has every program once, and with an empty prefix nothing that is no program")
    func list() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server, keys: CoreDataKeys(prefix: "")) { store in
                _ = try await store.importAll((0..<3_000).map { try makeProgram("p\($0)") })
                _ = try await store.delete(id("p0"))
                try server.cli("SET", "text", "x")
                try server.cli("HSET", "not an id", "a", "b")
                let ids = try await store.list().map(\.text)
                #expect(ids == (1..<3_000).map { "p\($0)" }.sorted())
            }
            // A prefix is no pattern.
            try await withStore(on: server, keys: CoreDataKeys(prefix: "x*[a]:")) { store in
                _ = try await store.put(makeProgram("one"))
                try server.cli("HSET", "xyz[a]:two", "a", "b")
                #expect(try await store.list().map(\.text) == ["one"])
            }
        }
    }

    @Test("An import writes all, in order, and counts what was not newer")
    func importing() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                var programs = try (0..<2_000).map { try makeProgram("p\($0)", version: 3) }
                let told = Locked<[Int]>([])
                let first = try await store.importAll(programs) { done in told.withLock { $0.append(done) } }
                #expect(first == .init(applied: 2_000, notNewer: 0))
                #expect(told.get().last == 2_000)
                #expect(told.get().count > 3)
                for index in 0..<500 { programs[index].version = 4 }
                let second = try await store.importAll(programs)
                #expect(second == .init(applied: 500, notNewer: 1_500))
                #expect(try server.cli("XLEN", "adtrack.core-data.changes") == "2500")
            }
        }
    }

    @Test("A program of more than 64 KiB is refused")
    func tooLarge() async throws {
        try await RedisServer.with { server in
            try await withStore(on: server) { store in
                let large = try makeProgram("a", name: String(repeating: "x", count: 70_000))
                await #expect(throws: StoreError.self) { try await store.put(large) }
                #expect(try server.cli("DBSIZE") == "0")
            }
        }
    }
}
