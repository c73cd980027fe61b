"use strict";

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  defaultModelsExpandDepth: -1,
  tryItOutEnabled: true,
  presets: [SwaggerUIBundle.presets.apis],
});
