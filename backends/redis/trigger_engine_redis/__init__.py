"""trigger-engine on Redis and Valkey: `trigger_cls = "RedisTrigger"`."""
