"""The robot side: control loop, inference worker, watchdog, fallbacks. numpy and one engine."""
