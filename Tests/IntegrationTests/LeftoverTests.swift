import TestSupport
import Testing

extension Integration {
    @Suite("What a test leaves behind")
    struct LeftoverTests {
        private struct Failed: Error {}

        @Test("a test that throws leaves nothing running that it started: service, load and a second service")
        func throwing() async throws {
            var started: [ServiceProcess] = []
            await #expect(throws: Failed.self) {
                try await Service.with { service async throws in
                    started.append(service.process)
                    started.append(try service.startLoad(rate: 10, seconds: 600))
                    try await TestDirectory.with { directory async throws in
                        started.append(try await Service.start(in: directory).process)
                        #expect(started.allSatisfy { $0.isRunning })
                        throw Failed()
                    }
                }
            }
            #expect(started.count == 3)
            #expect(started.allSatisfy { !$0.isRunning })
        }
    }
}
