"""From a configuration to hardware: synthesis, place and route, vendors' projects."""
