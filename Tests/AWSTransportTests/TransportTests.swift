import TestSupport
import Testing

@testable import AWSTransport

/// The transport itself: its bounds, cancellation and end.
@Suite(.timeLimit(.minutes(1)))
struct TransportTests {
    private func request(_ standIn: StandIn) -> AWSRequest {
        var request = AWSRequest(.post, standIn.url + "/")
        request.headers = [.init("X-Amz-Target", "Kinesis_20131202.PutRecords")]
        request.body = RequestBody(#"{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"}]}"#.utf8)
        return request
    }

    /// Returns when the stand-in has so many calls.
    private func calls(_ count: Int, reach standIn: StandIn) async throws -> Bool {
        try await eventually { try standIn.ledger().calls["PutRecords", default: 0] >= count }
    }

    @Test
    func requestsBeyondTheBoundWaitAndBeyondThatAreRefusedAtOnce() async throws {
        var configuration = TransportConfiguration()
        configuration.maximumInFlight = 2
        configuration.maximumWaiting = 1
        try await StandIn.with("kinesis") { standIn in
            try await withTransport(configuration) { transport in
                try standIn.inject(#"{"kind": "slow", "seconds": 1, "times": 2}"#)
                let request = self.request(standIn)
                async let first = transport.perform(request)
                async let second = transport.perform(request)
                #expect(try await self.calls(2, reach: standIn))
                let third = Task { await transport.perform(request) }
                // Whichever of these two comes later finds no room.
                async let fourth = transport.perform(request)
                let answers = await [third.value, fourth]
                #expect(answers.compactMap(\.failure) == [.overloaded])
                #expect(answers.compactMap(\.response).map(\.status) == [200])
                let (one, two) = await (first, second)
                #expect(one.response?.status == 200 && two.response?.status == 200)
            }
        }
    }

    @Test
    func cancellingTheTaskEndsTheTransfer() async throws {
        try await StandIn.with("kinesis") { standIn in
            try await withTransport { transport in
                try standIn.inject(#"{"kind": "hang"}"#)
                let request = self.request(standIn)
                let task = Task { await transport.perform(request) }
                #expect(try await self.calls(1, reach: standIn))
                task.cancel()
                let failure = await task.value.failure
                #expect(failure?.code == .cancelled && failure?.mayHaveBeenReceived == true)
                #expect(await transport.perform(request).response?.status == 200)
            }
        }
    }

    @Test
    func aTaskCancelledBeforehandSendsNothing() async throws {
        try await StandIn.with("kinesis") { standIn in
            try await withTransport { transport in
                let request = self.request(standIn)
                let task = Task {
                    while !Task.isCancelled { await Task.yield() }
                    return await transport.perform(request)
                }
                task.cancel()
                #expect(await task.value.failure == .cancelled(mayHaveBeenReceived: false))
                let ledger = try standIn.ledger()
                #expect(ledger.calls.isEmpty)
            }
        }
    }

    @Test
    func shutdownGivesEveryRequestAnOutcomeAndLaterOnesToo() async throws {
        var configuration = TransportConfiguration()
        configuration.maximumInFlight = 3
        try await StandIn.with("kinesis") { standIn in
            let transport = try Transport(configuration)
            try standIn.inject(#"{"kind": "hang", "times": 0}"#)
            let request = self.request(standIn)
            let tasks = (0..<6).map { _ in Task { await transport.perform(request) } }
            #expect(try await self.calls(3, reach: standIn))
            await transport.shutdown()
            var received = 0
            for task in tasks {
                let failure = await task.value.failure
                #expect(failure?.code == .stopped)
                if failure?.mayHaveBeenReceived == true { received += 1 }
            }
            #expect(received == 3)
            #expect(await transport.perform(request).failure == .stopped(mayHaveBeenReceived: false))
            await transport.shutdown()
        }
    }

    @Test
    func theLastReferenceGoingAwayEndsTheTransport() async throws {
        try await StandIn.with("kinesis") { standIn in
            let request = self.request(standIn)
            var transport: Transport? = try Transport()
            weak let gone = transport
            #expect(await transport?.perform(request).response?.status == 200)
            transport = nil
            #expect(await eventually { gone == nil })
        }
    }

    @Test
    func aHostWithoutAddressAndAPortWithoutServerAreNotSent() async throws {
        try await withTransport { transport in
            var request = AWSRequest(.post, "http://host.invalid/")
            request.bypassesProxy = true
            let unresolved = await transport.perform(request).failure
            #expect(unresolved?.code == .unresolved && unresolved?.mayHaveBeenReceived == false)
            request.url = "http://127.0.0.1:\(try FreePort.next())/"
            let unreachable = await transport.perform(request).failure
            #expect(unreachable?.code == .unreachable && unreachable?.mayHaveBeenReceived == false)
        }
    }

    @Test(arguments: ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "not an address"])
    func nothingButHTTPIsSpoken(url: String) async throws {
        try await withTransport { transport in
            let failure = await transport.perform(AWSRequest(.get, url)).failure
            #expect(failure?.code == .configuration && failure?.mayHaveBeenReceived == false)
        }
    }

    @Test(arguments: ["", "a\r\nX-Injected: 1", "a\0b"])
    func aHeaderThatCannotBeSentIsRefused(value: String) async throws {
        try await withTransport { transport in
            var request = AWSRequest(.get, "http://127.0.0.1:1/")
            request.headers = [.init("X-Amz-Target", value)]
            #expect(await transport.perform(request).failure?.code == .configuration)
        }
    }

    @Test
    func aCertificateIsTrustedOnlyWhereItsAuthorityIs() async throws {
        try await withTLSServer { port, authority in
            let request = AWSRequest(.get, "https://127.0.0.1:\(port)/")
            try await withTransport { transport in
                let failure = await transport.perform(request).failure
                #expect(failure?.code == .untrusted && failure?.mayHaveBeenReceived == false)
            }
            var configuration = TransportConfiguration()
            configuration.certificateAuthority = authority
            try await withTransport(configuration) { transport in
                #expect(await transport.perform(request).response?.status == 200)
                // The certificate is for the address, not for this name of it.
                let named = AWSRequest(.get, "https://localhost:\(port)/")
                #expect(await transport.perform(named).failure?.code == .untrusted)
            }
        }
    }

    @Test
    func manyRequestsAtOnceAllGetTheirAnswer() async throws {
        var configuration = TransportConfiguration()
        configuration.maximumInFlight = 8
        configuration.maximumWaiting = 1_000
        try await StandIn.with("kinesis") { standIn in
            try await withTransport(configuration) { transport in
                let request = self.request(standIn)
                let answered = await withTaskGroup(of: Bool.self) { group in
                    for _ in 0..<500 { group.addTask { await transport.perform(request).response?.status == 200 } }
                    return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(answered == 500)
                let ledger = try standIn.ledger()
                #expect(ledger.calls["PutRecords"] == 500)
                #expect(ledger.connections <= 9)
            }
        }
    }
}
