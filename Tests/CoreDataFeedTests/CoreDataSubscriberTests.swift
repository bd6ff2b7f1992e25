import CoreDataFeed
import Foundation
import Metrics
import MetricsTestKit
import TestSupport
import Testing
import TrackingModel

@Suite("The subscriber", .serialized)
struct CoreDataSubscriberTests {
    private let stream = "adtrack.core-data.changes"

    private func isCurrent(_ subscriber: CoreDataSubscriber) async -> Bool {
        await eventually { subscriber.isCurrent }
    }

    /// Publishes through redis-cli's pipe, all in one process.
    private func putMany(
        _ count: Int,
        version: Int64,
        on server: RedisServer,
        published: Bool,
        after first: String = "PING"
    ) throws {
        var commands = "MULTI\n\(first)\n"
        for index in 0..<count {
            let json =
                "{\\\"programId\\\":\\\"p\(index)\\\",\\\"programName\\\":\\\"v\(version)\\\",\\\"version\\\":\(version)}"
            commands += "XADD \(stream) * program \"\(json)\"\n"
            if published { commands += "PUBLISH adtrack.core-data \"\(json)\"\n" }
        }
        let answer = try server.cli([], input: Data((commands + "EXEC\n").utf8))
        #expect(!answer.contains("ERR"))
    }

    @Test("A write is pushed, a delete too")
    func pushes() async throws {
        try await RedisServer.with { server in
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try await withStore(on: server) { store in
                    let program = try makeProgram("a", name: "pushed")
                    _ = try await store.put(program)
                    #expect(await eventually { following.seen.get().names["a"] == "pushed" })
                    _ = try await store.delete(program.id)
                    #expect(await eventually { following.seen.get().deleted["a"] == 2 })
                }
            }
        }
    }

    @Test("A thousand publications while the subscription is cut are there a second after it is back")
    func cut() async throws {
        try await RedisServer.with { server in
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try putMany(1, version: 1, on: server, published: true)
                #expect(await eventually { following.seen.get().versions["p0"] == 1 })
                // The comparison moves the position to that entry, from which the stream is read on.
                #expect(await eventually(within: .seconds(8)) { following.seen.get().verified >= 1 })
                // One transaction, so that no new subscription is made in between.
                try putMany(1_000, version: 2, on: server, published: true, after: "CLIENT KILL TYPE pubsub")
                let healed = await eventually(within: .seconds(1)) {
                    let versions = following.seen.get().versions
                    return versions.count == 1_000 && versions.values.allSatisfy { $0 == 2 }
                }
                #expect(healed)
                #expect(try server.cli("CLIENT", "LIST", "TYPE", "pubsub").contains("sub=1"))
                #expect(following.seen.get().rechecks == 1)
            }
        }
    }

    @Test("A change that was never published is found within six seconds and counted as a gap")
    func silentGap() async throws {
        try await RedisServer.with { server in
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try putMany(300, version: 4, on: server, published: false)
                #expect(await eventually(within: .seconds(7)) { following.seen.get().versions.count == 300 })
                #expect(following.seen.get().gaps == 300)
                // And one that was published is none.
                try putMany(300, version: 5, on: server, published: true)
                #expect(await eventually(within: .seconds(7)) { following.seen.get().verified == 600 })
                #expect(following.seen.get().gaps == 300)
            }
        }
    }

    @Test("A flood of changes is compared before the five seconds are over")
    func flood() async throws {
        try await RedisServer.with { server in
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try putMany(11_000, version: 1, on: server, published: true)
                #expect(await eventually(within: .seconds(4)) { following.seen.get().verified >= 10_000 })
                #expect(following.seen.get().gaps == 0)
            }
        }
    }

    @Test("A stream that is trimmed past the position while the subscriber is away asks for a comparison of all")
    func trimmed() async throws {
        try await RedisServer.with { server in
            try putMany(10, version: 1, on: server, published: false)
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                #expect(await eventually { following.seen.get().rechecks == 1 })
                #expect(following.seen.get().versions.isEmpty)
                try server.cli("CLIENT", "KILL", "TYPE", "pubsub")
                try putMany(10, version: 2, on: server, published: false)
                try server.cli("XTRIM", stream, "MAXLEN", "5")
                #expect(await eventually(within: .seconds(8)) { following.seen.get().rechecks == 2 })
                #expect(await isCurrent(subscriber))
            }
        }
    }

    @Test("FLUSHALL is found within six seconds and asks for a comparison of all")
    func flushed() async throws {
        try await RedisServer.with { server in
            try putMany(10, version: 1, on: server, published: false)
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try server.cli("FLUSHALL")
                #expect(await eventually(within: .seconds(7)) { following.seen.get().rechecks == 2 })
            }
        }
    }

    @Test("A Redis that is killed and comes back empty asks for a comparison of all and is followed again")
    func killed() async throws {
        try await RedisServer.with { server in
            try putMany(1, version: 1, on: server, published: false)
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                server.kill()
                #expect(await eventually { !subscriber.isCurrent })
                try server.start()
                #expect(await eventually(within: .seconds(2)) { subscriber.isCurrent })
                #expect(await eventually { following.seen.get().rechecks == 2 })
                try putMany(1, version: 2, on: server, published: true)
                #expect(await eventually { following.seen.get().versions["p0"] == 2 })
            }
        }
    }

    @Test("Poison on the channel changes nothing but a counter, and the next good message is applied")
    func poison() async throws {
        let metrics = TestMetrics()
        try await withMetricsFactory(metrics) {
            try await RedisServer.with { server in
                try await withSubscriber(on: server) { subscriber, following in
                    #expect(await isCurrent(subscriber))
                    #expect(await eventually { following.seen.get().rechecks == 1 })
                    let good = "{\"programId\":\"a\",\"version\":1,\"programName\":\"x\"}"
                    let poison = poison(around: good)
                    for message in poison {
                        try server.cli(["-x", "PUBLISH", "adtrack.core-data"], input: message)
                    }
                    try server.cli("PUBLISH", "adtrack.core-data", good)
                    #expect(await eventually { following.seen.get().versions["a"] == 1 })
                    #expect(following.seen.get().changes == 2)
                    #expect(subscriber.isCurrent)
                    let malformed = try metrics.expectCounter(
                        "adtrack_core_data_updates_total",
                        [("result", "malformed")]
                    )
                    #expect(malformed.totalValue == Int64(poison.count))
                }
            }
        }
    }

    /// Cut short at every place, of other types, too large, not even text.
    private func poison(around good: String) -> [Data] {
        let others = [
            "null", "[]", "7", "{\"programId\":\"a/b\"}", "{\"programId\":\"a\",\"deleted\":3}", good + good,
            "{\"programId\":\"a\",\"deleted\":true,\"version\":-1}", "{\"programId\":\"a\",\"version\":1e400}",
            String(repeating: "[", count: 60_000),
        ]
        let large = [65_537, 10_000_000].map { String(good.dropLast(2)) + String(repeating: "x", count: $0) + "\"}" }
        let cut = (0..<good.utf8.count).map { String(good.prefix($0)) }
        return (others + large + cut).map { Data($0.utf8) } + [Data([0, 255, 0, 13, 10])]
    }

    @Test("A user who may not read the stream still gets what is pushed")
    func withoutStream() async throws {
        var options = RedisServer.Options()
        options.configuration = ["user default on nopass ~* &* +@all -xrange -xrevrange"]
        try await RedisServer.with(options) { server in
            try await withSubscriber(on: server) { subscriber, following in
                #expect(await isCurrent(subscriber))
                try server.cli("PUBLISH", "adtrack.core-data", "{\"programId\":\"a\",\"version\":1}")
                #expect(await eventually { following.seen.get().versions["a"] == 1 })
            }
        }
    }
}
