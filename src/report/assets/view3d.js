// The cloud with WebGL. Points are drawn into a texture; a second pass darkens where neighbours are nearer (eye-dome
// lighting, C. Boucheny 2009), which makes shapes readable without normals.
rarefy.view3d = function (canvas, cloud) {
  'use strict';
  var renderer = new THREE.WebGLRenderer({ canvas: canvas, antialias: false, powerPreference: 'high-performance' });
  var background = new THREE.Color(getComputedStyle(canvas.parentNode).backgroundColor);
  var scene = new THREE.Scene(), camera = new THREE.PerspectiveCamera(48, 1, 0.3, 600);
  camera.up.set(0, 0, 1);
  var geometry = new THREE.BufferGeometry();
  geometry.setAttribute('position', new THREE.BufferAttribute(cloud.xyz, 3));
  var color = new THREE.BufferAttribute(cloud.color, 4, true);
  geometry.setAttribute('tint', color);
  var points = new THREE.ShaderMaterial({
    uniforms: { size: { value: 1 }, pixels: { value: 1 }, ratio: { value: 1 } },
    vertexShader: 'attribute vec4 tint; uniform float size, pixels, ratio; varying vec3 shade; varying float away;\n' +
      'void main() { vec4 at = modelViewMatrix * vec4(position, 1.0); gl_Position = projectionMatrix * at; away = -at.z;\n' +
      ' if (tint.a < 0.5) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);\n' +
      ' gl_PointSize = size * clamp(pixels * 0.085 / max(away, 0.1), 1.35 * ratio, 9.0 * ratio); shade = tint.rgb; }',
    fragmentShader: 'varying vec3 shade; varying float away;\n' +
      'void main() { vec2 p = gl_PointCoord - 0.5; if (dot(p, p) > 0.25) discard;\n' +
      ' gl_FragColor = vec4(shade, clamp(log2(away) / 10.0, 0.004, 0.996)); }',
    blending: THREE.NoBlending, transparent: false
  });
  var object = new THREE.Points(geometry, points);
  object.scale.setScalar(cloud.step);
  object.frustumCulled = false;
  scene.add(object);

  // Depth in eight bits of alpha would show steps; half floats do not, where the browser draws into them.
  var float = renderer.extensions.get('OES_texture_half_float') && renderer.extensions.get('EXT_color_buffer_half_float');
  var target = new THREE.WebGLRenderTarget(1, 1, {
    minFilter: THREE.NearestFilter, magFilter: THREE.NearestFilter, format: THREE.RGBAFormat,
    type: float ? THREE.HalfFloatType : THREE.UnsignedByteType, stencilBuffer: false
  });
  var lighting = new THREE.ShaderMaterial({
    uniforms: { image: { value: target.texture }, texel: { value: new THREE.Vector2() }, ground: { value: background },
                strength: { value: float ? 60.0 : 18.0 } },
    vertexShader: 'varying vec2 uv_; void main() { uv_ = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }',
    fragmentShader: 'uniform sampler2D image; uniform vec2 texel; uniform vec3 ground; uniform float strength; varying vec2 uv_;\n' +
      'float nearer(float depth, vec2 step) { float d = texture2D(image, uv_ + step * texel).a; return d > 0.0 ? max(0.0, depth - d) : 0.0; }\n' +
      'void main() { vec4 here = texture2D(image, uv_);\n' +
      ' if (here.a <= 0.0) { gl_FragColor = vec4(ground, 1.0); return; }\n' +
      ' float sum = 0.0; sum += nearer(here.a, vec2(1.0, 0.0)); sum += nearer(here.a, vec2(-1.0, 0.0));\n' +
      ' sum += nearer(here.a, vec2(0.0, 1.0)); sum += nearer(here.a, vec2(0.0, -1.0));\n' +
      ' sum += nearer(here.a, vec2(2.0, 2.0)); sum += nearer(here.a, vec2(-2.0, 2.0));\n' +
      ' sum += nearer(here.a, vec2(2.0, -2.0)); sum += nearer(here.a, vec2(-2.0, -2.0));\n' +
      ' float fog = smoothstep(0.55, 0.86, here.a) * 0.45;\n' +
      ' gl_FragColor = vec4(mix(here.rgb * max(0.25, exp(-sum * strength / 8.0)), ground, fog), 1.0); }',
    depthTest: false, depthWrite: false
  });
  var screen = new THREE.Scene(), flat = new THREE.OrthographicCamera(-1, 1, 1, -1, 0, 1);
  var sheet = new THREE.Mesh(new THREE.PlaneBufferGeometry(2, 2), lighting);
  sheet.frustumCulled = false;
  screen.add(sheet);

  var width = 0, height = 0, ratio = 1, ahead = new THREE.Vector3();
  return {
    name: '3d',
    color: function () { color.needsUpdate = true; },
    size: function (value) { points.uniforms.size.value = value; },
    // Where a place (metres) is on the stage, in pixels; null when behind the camera.
    project: function (place) {
      ahead.set(place[0], place[1], place[2]).project(camera);
      return ahead.z < 1 ? [(ahead.x + 1) / 2 * width, (1 - ahead.y) / 2 * height] : null;
    },
    draw: function (orbit) {
      var box = canvas.parentNode;
      ratio = Math.min(2, window.devicePixelRatio || 1);
      if (box.clientWidth !== width || box.clientHeight !== height) {
        width = box.clientWidth; height = box.clientHeight;
        renderer.setPixelRatio(ratio);
        renderer.setSize(width, height, false);
        target.setSize(width * ratio, height * ratio);
        lighting.uniforms.texel.value.set(1 / (width * ratio), 1 / (height * ratio));
        camera.aspect = width / Math.max(1, height);
        camera.updateProjectionMatrix();
        points.uniforms.pixels.value = height * ratio / (2 * Math.tan(camera.fov * Math.PI / 360));
        points.uniforms.ratio.value = ratio;
      }
      var flatness = Math.cos(orbit.pitch);
      camera.position.set(orbit.target[0] - orbit.distance * flatness * Math.cos(orbit.yaw),
                          orbit.target[1] - orbit.distance * flatness * Math.sin(orbit.yaw),
                          orbit.target[2] + orbit.distance * Math.sin(orbit.pitch));
      // Straight from above "up" is the direction of view, not z.
      if (flatness < 0.01) camera.up.set(Math.cos(orbit.yaw), Math.sin(orbit.yaw), 0); else camera.up.set(0, 0, 1);
      camera.lookAt(orbit.target[0], orbit.target[1], orbit.target[2]);
      camera.updateMatrixWorld();
      renderer.setRenderTarget(target);
      renderer.setClearColor(0x000000, 0);
      renderer.clear();
      renderer.render(scene, camera);
      renderer.setRenderTarget(null);
      renderer.render(screen, flat);
    }
  };
};
