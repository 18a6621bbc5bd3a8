"""trigger-engine on RabbitMQ streams: `trigger_cls = "RabbitMQTrigger"`."""
