"""trigger-engine on MongoDB: `trigger_cls = "MongoTrigger"`."""
