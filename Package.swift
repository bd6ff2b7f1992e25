// swift-tools-version: 6.2
import PackageDescription

/// The one list of settings: every Swift target has it, so no target is checked less than another.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    // Spans in our own interfaces: the compiler proves that no view outlives its bytes.
    .enableExperimentalFeature("Lifetimes"),
    // Every test is built with the checks of exclusive access at run time; they are a tenth of the instructions of a
    // request. Deploy/prerequisites says the same for the dependencies.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
// For tests only: llhttp, to compare our parser with.
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioLocks = Target.Dependency.product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioTLS = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metricsTests = Target.Dependency.product(name: "MetricsTestKit", package: "swift-metrics")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let coreMetrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

/// A room of the picture: its name, and what it may see.
func room(_ name: String, sees dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(of name: String, sees dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: name + "Tests",
        dependencies: [.target(name: name)] + dependencies,
        swiftSettings: settings
    )
}

let package = Package(
    name: "adtrack",
    products: [.executable(name: "adtrack", targets: ["adtrack"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: [.defaults, "YAML"]),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        // C: headers only, linked by their module maps.
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CChecksum"),
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),

        // Below everything: the nouns, the actors' frame, the figures.
        room("TrackingModel", sees: [protobuf]),
        room("Reactor", sees: ["CLinux", nioCore, nioLocks]),
        room("Verticles", sees: [nioCore, nioLocks, lifecycle, logging]),
        room("Telemetry", sees: [coreMetrics]),

        // The event's journey.
        room(
            "HTTPIngress",
            sees: [
                "CLinux", "Reactor", "TrackingPipeline", "TrackingModel", "Verticles", "Telemetry", nioCore, nioLocks,
                logging,
            ]
        ),
        room("TrackingPipeline", sees: ["ProgramCache", "EventJournal", "TrackingModel"]),
        room("ProgramCache", sees: ["CLinux", "RedisClient", "TrackingModel", nioCore]),
        room("RedisClient", sees: ["CHiredis", nioCore, nioPosix, nioTLS, nioLocks, logging, metrics]),
        room("EventJournal", sees: ["CChecksum", nioCore, nioLocks, logging, metrics]),
        room(
            "StreamSink",
            sees: [
                "AWSTransport", "EventJournal", "RedisClient", nioCore, nioPosix, nioLocks, logging, metrics,
                lifecycle,
            ]
        ),

        room("AWSTransport", sees: ["CCurl", nioLocks, logging]),
        room(
            "StreamSource",
            sees: ["AWSTransport", "RedisClient", "StreamSink", "TrackingModel", nioCore, logging, lifecycle]
        ),
        room("EventStore", sees: ["AWSTransport", "StreamSource", "TrackingModel", logging, grdb, protobuf]),

        // Both as Lambda functions.
        room("LambdaRuntime", sees: ["AWSTransport", "StreamSource", "TrackingModel", logging]),

        // The core data's journey.
        room(
            "CoreDataFeed",
            sees: [
                "RedisClient", "StreamSource", "TrackingModel", "Verticles", nioCore, nioLocks, logging, metrics,
                lifecycle,
            ]
        ),

        room("LoadGenerator", sees: ["CLinux", "Reactor", nioCore, histogram]),
        .executableTarget(
            name: "adtrack",
            dependencies: [
                "HTTPIngress", "TrackingPipeline", "ProgramCache", "RedisClient", "EventJournal", "StreamSink",
                "StreamSource",
                "AWSTransport", "EventStore", "LambdaRuntime", "CoreDataFeed", "TrackingModel", "Verticles", "Reactor",
                "Telemetry", "LoadGenerator", arguments, configuration,
                lifecycle, logging, metrics, nioCore, nioPosix, protobuf,
            ],
            swiftSettings: settings
        ),
        tests(of: "TrackingModel", sees: [protobuf]),
        tests(of: "ProgramCache", sees: ["RedisClient", "TestSupport", "TrackingModel", nioCore, nioPosix, logging]),
        tests(of: "Reactor", sees: [nioCore]),
        tests(of: "Verticles", sees: [nioCore, nioPosix, nioLocks, lifecycle, logging]),
        tests(of: "Telemetry", sees: [coreMetrics]),
        tests(
            of: "HTTPIngress",
            sees: [
                "EventJournal", "ProgramCache", "TrackingModel", "TrackingPipeline", "Reactor", "Verticles",
                "TestSupport",
                nioCore,
                nioHTTP1, nioEmbedded, logging,
            ]
        ),
        // Not a test: figures of the parts that every request passes, printed as a table.
        .executableTarget(
            name: "Benchmarks",
            dependencies: [
                "AWSTransport", "EventJournal", "HTTPIngress", "ProgramCache", "StreamSink", "TrackingModel", logging,
                nioCore,
                nioPosix,
            ],
            path: "Tests/Benchmarks",
            swiftSettings: settings
        ),

        tests(of: "EventJournal", sees: ["CChecksum", "JournalProbe", "ProbeSupport", nioCore, nioPosix, logging]),
        tests(
            of: "StreamSink",
            sees: [
                "EventJournal", "JournalProbe", "ProbeSupport", "RedisClient", "TestSupport", nioCore, nioPosix,
                nioLocks, logging,
                lifecycle,
            ]
        ),

        // A process for the tests of the journal and the file sink to kill.
        .executableTarget(
            name: "JournalProbe",
            dependencies: ["EventJournal", "StreamSink", nioCore, nioPosix, logging],
            path: "Tests/JournalProbe",
            swiftSettings: settings
        ),

        .target(name: "ProbeSupport", path: "Tests/ProbeSupport", swiftSettings: settings),

        // What tests share: servers of their own on free ports.
        .target(
            name: "TestSupport",
            dependencies: ["TrackingModel", protobuf],
            path: "Tests/TestSupport",
            swiftSettings: settings
        ),
        tests(of: "RedisClient", sees: ["TestSupport", nioCore, nioPosix, logging, metrics, metricsTests]),
        tests(
            of: "CoreDataFeed",
            sees: [
                "TestSupport", "RedisClient", "TrackingModel", "Verticles", nioCore, nioPosix, logging, metrics,
                metricsTests,
                lifecycle,
            ]
        ),

        tests(of: "AWSTransport", sees: ["TestSupport", logging]),
        tests(
            of: "StreamSource",
            sees: [
                "AWSTransport", "RedisClient", "TestSupport", "TrackingModel", nioCore, nioPosix, logging, lifecycle,
            ]
        ),
        tests(
            of: "EventStore",
            sees: ["AWSTransport", "StreamSource", "TestSupport", "TrackingModel", grdb, logging, lifecycle, protobuf]
        ),

        tests(of: "LoadGenerator", sees: [nioCore, nioPosix]),
        tests(
            of: "adtrack",
            sees: [
                "EventJournal", "HTTPIngress", "ProgramCache", "RedisClient", "StreamSink", "StreamSource", arguments,
                logging, nioCore,
            ]
        ),
        // From outside: the executable is built with them, and started.
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["adtrack", "TestSupport", "TrackingModel", grdb, protobuf],
            swiftSettings: settings
        ),
    ]
)
