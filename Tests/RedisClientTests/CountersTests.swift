import Metrics
import MetricsTestKit
import NIOCore
import TestSupport
import Testing

@testable import RedisClient

@Suite("What is counted", .serialized)
struct CountersTests {
    private func total(_ metrics: TestMetrics, _ label: String, _ dimension: (String, String)) throws -> Int64 {
        try metrics.expectCounter(label, [dimension]).totalValue
    }

    private func commands(_ metrics: TestMetrics, _ result: String) throws -> Int64 {
        try total(metrics, "adtrack_redis_commands_total", ("result", result))
    }

    @Test("Each command once, by what became of it; our own pings not")
    func commands() async throws {
        let metrics = TestMetrics()
        try await withMetricsFactory(metrics) {
            try await RedisServer.with { server in
                var configuration = try RedisConfiguration.local(server)
                configuration.pingInterval = .milliseconds(20)
                try await withClient(configuration) { client in
                    // Every series is there from the start.
                    for result in ["ok", "error", "timeout", "disconnected", "overloaded"] {
                        let count = try commands(metrics, result)
                        #expect(count == 0)
                    }
                    #expect(await eventually { await client.isReady })
                    _ = try await client.send(RedisCommand("SET", "text", "x"))
                    _ = try await client.send(RedisCommand("HGETALL", "text"))
                    try await Task.sleep(for: .milliseconds(100))
                    server.pause()
                    _ = try? await client.send(RedisCommand("GET", "text"))
                    await client.stop()
                    _ = try? await client.send(RedisCommand("GET", "text"))
                    let counts = try ["ok", "error", "timeout", "disconnected"].map { try commands(metrics, $0) }
                    #expect(counts == [1, 1, 1, 1])
                }
            }
        }
    }

    @Test("A connection that ended for a violation, and one that was refused")
    func connections() async throws {
        let metrics = TestMetrics()
        let label = "adtrack_redis_connection_failures_total"
        try await withMetricsFactory(metrics) {
            try await withFakeServer({ _, channel in channel.say("*1000000000\r\n") }) { configuration in
                try await withClient(configuration) { _ in
                    let isCounted = try await eventually { try total(metrics, label, ("reason", "violation")) >= 1 }
                    #expect(isCounted)
                }
            }
            try await withFakeServer({ _, channel in channel.say("+OK\r\n-NOAUTH x\r\n") }) { configuration in
                try await withClient(configuration) { _ in
                    let isCounted = try await eventually { try total(metrics, label, ("reason", "refused")) >= 1 }
                    #expect(isCounted)
                }
            }
        }
    }
}
